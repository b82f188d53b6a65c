"""What a person ordered at the router: theirs to read, in the form of the rest of their audit, and nobody else's."""

from functools import partial
from typing import Any

import pytest

from services.identity.tests.conftest import until
from tests.e2e.people import catalog_of
from tests.e2e.peopled import ADA, BOB, SRE, Peopled

AUDIT = "/api/catalog/audit"
APPLY = "POST /api/catalog/apply"
FROM_HERE = "127.0.0.0/24"


async def entries(peopled: Peopled, who: str, query: str = "") -> list[dict[str, Any]]:
    status, page = await peopled.call(who, "GET", f"{AUDIT}{query}")
    assert status == 200, page
    return list(page["entries"])


async def has(peopled: Peopled, who: str, count: int) -> bool:
    return len(await entries(peopled, who)) >= count


async def test_a_person_reads_what_they_ordered_and_were_refused_and_from_where(peopled: Peopled) -> None:
    assert (await peopled.call("ada", "POST", "/api/catalog/apply", catalog_of("ada")))[0] == 200
    assert (await peopled.call("ada", "POST", "/api/catalog/apply", catalog_of("bob")))[0] == 403
    await until(partial(has, peopled, "ada", 3))
    seen = await entries(peopled, "ada")
    assert {(each["actor"], each["origin"]) for each in seen} == {(str(ADA), FROM_HERE)}
    told = sorted((each["action"], each["details"]) for each in seen if each["action"] == "access.refused")
    assert told == [("access.refused", {"route": APPLY, "error": "not_owner"})]
    assert [each["details"] for each in seen if each["action"] == "access.ordered"] == [{"route": APPLY}] * 2
    assert [each["at"] for each in seen] == sorted((each["at"] for each in seen), reverse=True)
    identitys = (await peopled.call("ada", "GET", "/api/audit"))[1]["entries"]
    assert {frozenset(each) for each in [*identitys, *seen]} == {frozenset(seen[0])}, "one form for both parts"


async def test_it_is_read_page_by_page(peopled: Peopled) -> None:
    for _ in range(3):
        await peopled.call("ada", "POST", "/api/catalog/apply", {"dryRun": True})
    await until(partial(has, peopled, "ada", 3))
    whole, before, pages = await entries(peopled, "ada"), "", []
    for _ in whole:
        _, page = await peopled.call("ada", "GET", f"{AUDIT}?limit=1&before={before}")
        before = page["next"]
        pages += page["entries"]
    assert pages == whole
    assert await entries(peopled, "ada", f"?limit=1&before={before}") == []
    assert (await peopled.call("ada", "GET", f"{AUDIT}?limit=0"))[1]["error"] == "invalid_limit"


async def test_it_is_its_owners_and_operators_alone(peopled: Peopled) -> None:
    assert (await peopled.call("ada", "POST", "/api/catalog/apply", catalog_of("ada")))[0] == 200
    await until(partial(has, peopled, "ada", 1))
    assert await entries(peopled, "bob") == []
    for whose in (ADA, 1):
        status, body = await peopled.call("bob", "GET", f"{AUDIT}?accountId={whose}")
        assert (status, body["error"]) == (403, "not_owner"), "whether there is such an account is not told"
    assert (str(BOB), f"GET {AUDIT}", "not_owner") in await peopled.refusals()
    assert (await peopled.call("", "GET", AUDIT))[0] == 401
    for operator in ("sre", "operator.token"):
        assert len(await entries(peopled, operator, f"?accountId={ADA}")) == 1


@pytest.mark.parametrize("named", ["", "?accountId=", "?accountId=ada", "?accountId=-1", f"?accountId={'9' * 19}"])
async def test_an_operator_who_is_no_person_names_the_account_by_its_number(peopled: Peopled, named: str) -> None:
    status, body = await peopled.call("operator.token", "GET", f"{AUDIT}{named}")
    assert (status, body["error"]) == (400, "invalid_account")


@pytest.mark.parametrize("path", [AUDIT, "/api/catalog"])
async def test_what_somebody_alone_may_see_is_kept_by_no_cache(peopled: Peopled, path: str) -> None:
    headers = {"Authorization": f"Bearer {peopled.tokens['ada']}"}
    async with peopled.http.get(f"{peopled.hosted.url}{path}", headers=headers) as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")


async def test_what_the_operator_token_orders_is_in_nobodys_audit(peopled: Peopled) -> None:
    assert (await peopled.call("operator.token", "POST", "/api/catalog/apply", catalog_of("ada")))[0] == 200
    assert (await peopled.call("sre", "POST", "/api/catalog/apply", catalog_of("ada")))[0] == 200
    await until(partial(has, peopled, "sre", 1))
    assert [each["actor"] for each in await entries(peopled, "sre")] == [str(SRE)]
    assert await entries(peopled, "ada") == []
