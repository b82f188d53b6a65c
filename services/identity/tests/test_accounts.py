"""Accounts over HTTP: opened, changed and left, with nothing personal left behind."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from zekt_common.adapters.embedded import open_backend
from zekt_common.auth.authorisation_log import ActionOrdered
from zekt_common.auth.operator import ensure_operator_token
from zekt_common.envelope import Event
from zekt_common.errors import KeyDestroyed
from zekt_common.ports.keys import DataKey
from zekt_identity.account import (
    ACCOUNT_SCHEMAS,
    AccountChanged,
    AccountLeft,
    AccountOpened,
    PersonLinked,
    key_of,
    stream_of,
)
from zekt_identity.account_http import CHANGES_AT_ONCE
from zekt_identity.ledger import wrap
from zekt_sandbox import GitHubSandbox

from .conftest import Answer, Browser, Running, identity_at, until

CONTACT = {"name": "Mona Lisa Octocat", "email": "mona@example.org", "company": "Octo Inc"}
DESCRIPTION: dict[str, Any] = {"persona": "provider", "kind": "company", "contact": CONTACT, "sku": "standard"}


async def opened(identity: Running, login: str = "octocat", **changes: Any) -> Browser:
    browser = identity.browser()
    await browser.sign_in(login)
    answer = await browser.call("PUT", "/api/account", DESCRIPTION | changes)
    assert answer.status == 200, answer.body
    return browser


def files(data_dir: Path) -> bytes:
    """Everything that is on disk, logs and freed pages too."""
    return b"".join(path.read_bytes() for path in sorted(data_dir.rglob("*")) if path.is_file())


async def data_key(identity: Running, key: int) -> DataKey | None:
    """The key as somebody finds it who has never seen it; None once it is destroyed."""
    async with open_backend(identity.data_dir, "identity") as backend:
        try:
            return await backend.keys.data_key(key)
        except KeyDestroyed:
            return None


async def test_an_account_is_opened_and_shown_to_its_owner(identity: Running) -> None:
    browser = await opened(identity)
    shown = (await browser.call("GET", "/api/account")).body
    assert shown == {"accountId": 4_242, "status": "open", **DESCRIPTION}


async def test_the_upgrade_to_both_sides_is_one_way(identity: Running) -> None:
    browser = await opened(identity)
    assert (await browser.call("PUT", "/api/account", DESCRIPTION | {"persona": "both"})).body["persona"] == "both"
    answer = await browser.call("PUT", "/api/account", DESCRIPTION)
    assert answer.told == (409, "persona_cannot_narrow")


async def given(identity: Running, sku: Any, account_id: int = 4_242, token: str = "") -> Answer:
    """Have an operator of this machine give the account a SKU."""
    authorization = f"Bearer {token or ensure_operator_token(identity.data_dir)}"
    path = f"/api/operations/identity/accounts/{account_id}/sku"
    return await identity.browser().call("PUT", path, {"sku": sku}, Authorization=authorization)


async def test_sign_up_gives_the_default_sku(sandbox: GitHubSandbox, tmp_path: Path) -> None:
    details = {key: value for key, value in DESCRIPTION.items() if key != "sku"}
    async with identity_at(sandbox, tmp_path, default_sku="free") as identity:
        browser = identity.browser()
        await browser.sign_in()
        assert (await browser.call("PUT", "/api/account", DESCRIPTION)).told == (403, "operators_alone")
        assert (await browser.call("PUT", "/api/account", details)).body["sku"] == "free"
        assert ("PUT /api/account", "operators_alone", 4_242) in await identity.refusals()


async def test_nobody_gives_themselves_more_than_the_default(identity: Running) -> None:
    browser = await opened(identity)
    assert (await browser.call("PUT", "/api/account", {"sku": "enterprise"})).told == (403, "operators_alone")
    assert (await browser.call("PUT", "/api/account", {"sku": "free"})).body["sku"] == "free"
    assert (await browser.call("PUT", "/api/account", {"sku": "standard"})).body["sku"] == "standard"


async def test_what_an_operator_gives_holds_and_is_in_the_owners_audit(identity: Running) -> None:
    browser = await opened(identity)
    answer = await given(identity, "enterprise")
    assert (answer.status, answer.body) == (200, {"accountId": 4_242, "status": "open", "sku": "enterprise"})
    assert (await browser.call("PUT", "/api/account", {"persona": "both"})).body["sku"] == "enterprise"
    assert (await given(identity, "free")).body["sku"] == "free"
    assert (await browser.call("PUT", "/api/account", DESCRIPTION | {"persona": "both"})).told == (
        403,
        "operators_alone",
    )
    entries = (await browser.call("GET", "/api/audit")).body["entries"]
    noted = [(entry["actor"], entry["details"]["sku"]) for entry in entries if entry["action"] == "account.sku-given"]
    assert noted == [("operator.token", "free"), ("operator.token", "enterprise")]
    assert [order.route for order in await identity.events(ActionOrdered)] == [
        "PUT /api/operations/identity/accounts/{account_id:\\d{1,18}}/sku"
    ] * 2


async def test_a_sku_that_was_given_before_the_account_was_opened_is_what_it_opens_with(identity: Running) -> None:
    browser = identity.browser()
    await browser.sign_in()
    assert (await given(identity, "enterprise")).body == {"accountId": 4_242, "status": "linked", "sku": "enterprise"}
    details = {key: value for key, value in DESCRIPTION.items() if key != "sku"}
    assert (await browser.call("PUT", "/api/account", details)).body["sku"] == "enterprise"


async def test_nobody_but_an_operator_gives_a_sku(identity: Running) -> None:
    browser = await opened(identity)
    [session] = browser.cookies.values()
    assert (await given(identity, "enterprise", token=session)).told == (403, "role_missing")
    assert (await given(identity, "golden")).told == (400, "invalid_request")
    assert (await given(identity, "free", account_id=999)).told == (404, "account_not_found")
    assert (await browser.call("GET", "/api/account")).body["sku"] == "standard"


async def test_what_a_change_leaves_out_stays_as_it_is(identity: Running) -> None:
    browser = await opened(identity)
    for change in ({}, {"persona": "provider"}, {"kind": "company"}, {"contact": CONTACT}, {"sku": "standard"}):
        answer = await browser.call("PUT", "/api/account", change)
        assert answer.body == {"accountId": 4_242, "status": "open", **DESCRIPTION}
    changed = CONTACT | {"company": "Octo Ltd"}
    answer = await browser.call("PUT", "/api/account", {"contact": changed})
    assert answer.body == {"accountId": 4_242, "status": "open", **DESCRIPTION, "contact": changed}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        {},
        DESCRIPTION | {"persona": "admin"},
        DESCRIPTION | {"sku": "golden"},
        DESCRIPTION | {"accountId": 4_243},
        DESCRIPTION | {"contact": CONTACT | {"email": "nobody"}},
        DESCRIPTION | {"contact": CONTACT | {"email": "mona@example.org\n"}},
        DESCRIPTION | {"contact": CONTACT | {"name": ""}},
        DESCRIPTION | {"contact": None},
        DESCRIPTION | {"sku": None},
        {"persona": "provider", "kind": "company"},
    ],
)
async def test_a_description_that_makes_no_sense_changes_nothing(identity: Running, body: Any) -> None:
    browser = identity.browser()
    await browser.sign_in()
    assert (await browser.call("PUT", "/api/account", body)).told == (400, "invalid_request")
    assert (await browser.call("GET", "/api/account")).body["status"] == "linked"


async def test_repeating_a_description_stores_nothing(identity: Running) -> None:
    browser = await opened(identity)
    await browser.call("PUT", "/api/account", DESCRIPTION)
    events = [kind for kind in ACCOUNT_SCHEMAS for _ in await identity.events(kind)]
    assert [kind.__name__ for kind in events] == ["PersonLinked", "AccountOpened"]


async def test_changes_at_the_same_moment_are_made_or_refused_in_words(identity: Running) -> None:
    browser = await opened(identity)
    contacts = [{"contact": CONTACT | {"name": f"Mona {number}"}} for number in range(20)]
    answers = await asyncio.gather(*(browser.call("PUT", "/api/account", contact) for contact in contacts))
    refused = [answer for answer in answers if answer.status != 200]
    assert len(refused) < len(answers)
    assert {answer.told for answer in refused} <= {(409, "account_changed")}


async def test_contact_details_that_no_key_opens_are_none_and_can_be_given_anew(identity: Running) -> None:
    """As when a change was on its way while the person left and came back."""
    browser = await opened(identity)
    async with open_backend(identity.data_dir, "identity") as backend:
        stream = stream_of(4_242)
        stored = await backend.store.read(stream)
        facts: dict[str, Any] = {"account_id": 4_242, "actor": "4242", "origin": "", "at": identity.clock()}
        strange = AccountChanged(**facts, kind=None, contact=b"sealed under the key of another tenure")
        await backend.store.append(stream, wrap(stream, [strange]), expected_version=len(stored))
    assert (await browser.call("GET", "/api/account")).body["contact"] is None
    assert (await browser.call("PUT", "/api/account", DESCRIPTION)).body["contact"] == CONTACT


async def test_one_person_changes_their_account_at_a_bounded_rate_and_others_go_on(identity: Running) -> None:
    busy, other = await opened(identity), await opened(identity, "hubot")
    changes = [DESCRIPTION | {"kind": kind} for kind in ("individual", "company")] * CHANGES_AT_ONCE
    answers = [await busy.call("PUT", "/api/account", change) for change in changes]
    assert answers[-1].told == (429, "too_many_orders")
    assert 60 < int(answers[-1].headers["Retry-After"]) <= 600, "an account is read from all of its events"
    taken = sum(answer.status == 200 for answer in answers)
    assert len(await identity.events(AccountChanged)) == taken < len(answers)
    assert (await busy.call("GET", "/api/account")).status == 200
    assert (await other.call("PUT", "/api/account", DESCRIPTION | {"kind": "individual"})).status == 200
    assert (await busy.call("DELETE", "/api/account")).status == 204


async def test_nothing_personal_is_on_disk_in_the_clear(identity: Running) -> None:
    browser = await opened(identity)
    stored = files(identity.data_dir)
    for personal in (*CONTACT.values(), "octocat", "ghu_", "ghr_", *browser.cookies.values()):
        assert personal.encode() not in stored, personal


async def test_leaving_destroys_the_key_and_signs_out(identity: Running) -> None:
    browser = await opened(identity)
    kept = dict(browser.cookies)
    key = await data_key(identity, key_of(4_242, 1))
    assert key is not None
    assert (await browser.call("DELETE", "/api/account")).status == 204
    assert await data_key(identity, key_of(4_242, 1)) is None
    assert key.id.encode() not in files(identity.data_dir)
    browser.cookies = kept
    assert (await browser.call("GET", "/api/account")).status == 401


async def test_after_leaving_everything_still_replays(identity: Running) -> None:
    await (await opened(identity)).call("DELETE", "/api/account")
    assert [len(await identity.events(kind)) for kind in (PersonLinked, AccountOpened, AccountLeft)] == [1, 1, 1]


async def test_whoever_comes_back_begins_anew(identity: Running) -> None:
    browser = await opened(identity)
    await browser.call("DELETE", "/api/account")
    identity.clock.advance(seconds=1)
    await browser.sign_in()
    shown = (await browser.call("GET", "/api/account")).body
    assert (shown["status"], shown["contact"]) == ("linked", None)
    assert (await browser.call("PUT", "/api/account", DESCRIPTION)).body["contact"] == CONTACT


async def appended(identity: Running, *events: Event) -> None:
    """Have events in the account's stream whose consequences a crash has kept from happening."""
    async with open_backend(identity.data_dir, "identity") as backend:
        stored = await backend.store.read("account/4242")
        await backend.store.append("account/4242", wrap("account/4242", events), expected_version=stored[-1].version)


async def until_destroyed(identity: Running, key: int) -> None:
    async def is_destroyed() -> bool:
        return await data_key(identity, key) is None

    await until(is_destroyed)


async def test_an_erasure_that_a_crash_interrupted_is_made_up_for(identity: Running) -> None:
    await opened(identity)
    key = key_of(4_242, 1)
    await appended(identity, AccountLeft(account_id=4_242, actor="4242", origin="x", at=identity.clock(), key=key))
    await until_destroyed(identity, key)


async def test_an_erasure_that_is_outstanding_when_the_person_comes_back_is_made_up_for_too(identity: Running) -> None:
    await opened(identity)
    first, second = key_of(4_242, 1), key_of(4_242, 2)
    by: dict[str, Any] = {"account_id": 4_242, "actor": "4242", "origin": "x", "at": identity.clock()}
    await appended(identity, AccountLeft(**by, key=first), PersonLinked(**by, tenure=2, key=second))
    await until_destroyed(identity, first)
    assert await data_key(identity, second) is not None
