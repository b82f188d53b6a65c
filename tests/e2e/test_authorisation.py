"""Operators, owners and everybody else before the whole suite: what opens, what does not, and what is noted of it."""

from functools import partial
from typing import Any

import pytest

from services.identity.tests.conftest import until
from tests.e2e.people import catalog_of
from tests.e2e.peopled import ADA, PEOPLE, Peopled, name_of
from zekt_common.auth.authorisation_log import ActionOrdered, CallerRefused
from zekt_common.auth.requirements import Operator, OperatorOrOwner, Public, ServiceRole, SigningIn
from zekt_common.kit.service import Route

NUMBERS = {
    "installation_id": "502",
    "repository_id": "602",
    "account_id": "900002",
    "run_id": "1",
    "delivery_id": "x",
    "sha256": "0" * 64,
}


def path_of(route: Route) -> str:
    """The route with Bob's numbers in it."""
    path = route.path.replace(r":\d{1,18}", "")
    for name, value in NUMBERS.items():
        path = path.replace(f"{{{name}}}", value)
    return path.replace("{", "").replace("}", "")


async def test_without_a_credential_nothing_opens_but_what_says_so_and_that_is_noted(peopled: Peopled) -> None:
    refused = set()
    for route in peopled.routes:
        if route.internal or isinstance(route.requires, Public):
            continue
        status, body = await peopled.call("", route.method, path_of(route), {})
        if isinstance(route.requires, SigningIn):
            assert status in (200, 303, 400, 403), route.path
        else:
            assert status == 401, f"{route.method} {route.path}: {status}"
            assert set(body) <= {"error", "detail"}
            refused.add(name_of(route))
    assert len(refused) > 40
    assert refused <= {route for actor, route, _ in await peopled.refusals() if actor == "unknown"}


async def test_a_person_is_no_operator_anywhere_and_that_is_noted(peopled: Peopled) -> None:
    operators = [route for route in peopled.routes if isinstance(route.requires, Operator)]
    assert len(operators) > 20
    for route in operators:
        status, body = await peopled.call("ada", route.method, path_of(route), {})
        assert (status, body["error"]) == (403, "role_missing"), route.path
        for service in peopled.services:
            if route in service.routes:
                noted = [(one["actor"], one["route"]) for one in await peopled.noted(service.name, CallerRefused)]
                assert (str(ADA), f"{route.method} {route.path}") in noted


async def test_an_operator_by_github_id_is_one_everywhere(peopled: Peopled) -> None:
    for route in peopled.routes:
        if isinstance(route.requires, Operator | OperatorOrOwner):
            status, _ = await peopled.call("sre", route.method, path_of(route), {})
            assert status not in (401, 403), f"{route.method} {route.path}"


async def test_owners_apply_and_see_their_own_catalog(peopled: Peopled) -> None:
    status, applied = await peopled.call("ada", "POST", "/api/catalog/apply", catalog_of("ada"))
    assert status == 200, applied
    assert all(position.startswith(f"catalog/{ADA}@") for position in applied["positions"])
    waiting = {"eventIds": applied["positions"], "timeoutS": 30}
    assert (await peopled.call("ada", "POST", "/api/operations/ingress/wait", waiting))[0] == 200
    _, seen = await peopled.call("ada", "GET", "/api/catalog")
    assert [account["account"]["login"] for account in seen["accounts"]] == ["ada"]
    assert (await peopled.call("bob", "GET", "/api/catalog"))[1] == {"accounts": [], "next": None}
    assert (await peopled.call("bob", "POST", "/api/operations/ingress/wait", waiting))[1]["error"] == "not_owner"
    ordered = [(one["actor"], one["route"]) for one in await peopled.noted("router", ActionOrdered)]
    assert (str(ADA), "POST /api/catalog/apply") in ordered


OTHERS: dict[str, dict[str, Any]] = {
    "another account": {"accounts": [{"login": "bob"}]},
    "another's repository": {"repositories": [{"repository": "bob/tools", "enabledAs": ["provider"]}]},
    "a repository that is not there": {"repositories": [{"repository": "bob/none", "enabledAs": ["provider"]}]},
    "an organisation": {"repositories": [{"repository": "acme/provider", "enabledAs": ["provider"]}]},
    "another's workflow": {"workflows": [{"repository": "bob/tools", "path": ".github/workflows/ci.yml"}]},
    "another's service": {"services": [{"owner": "bob", "slug": "ci", "repository": "ada/tools"}]},
    "a service on another's repository": {"services": [{"owner": "ada", "slug": "ci", "repository": "bob/tools"}]},
    "a subscription to another's service": {"subscriptions": [{"service": "bob/ci", "target": "ada/site"}]},
    "a delivery into another's repository": {
        "subscriptions": [{"service": "ada/ci", "target": "bob/site", "status": "approved"}]
    },
    "nobody": {"accounts": [{"login": "nobody-at-all"}]},
}


@pytest.mark.parametrize("what", OTHERS)
async def test_nobody_applies_what_concerns_another_account(peopled: Peopled, what: str) -> None:
    assert (await peopled.call("operator.token", "POST", "/api/catalog/apply", catalog_of("bob")))[0] == 200
    before = (await peopled.call("operator.token", "GET", "/api/catalog"))[1]
    for document in (OTHERS[what], catalog_of("ada") | OTHERS[what]):
        status, body = await peopled.call("ada", "POST", "/api/catalog/apply", document)
        assert (status, body["error"]) == (403, "not_owner")
        assert set(body) == {"error", "detail"}
    assert (await peopled.call("operator.token", "GET", "/api/catalog"))[1] == before
    refused = {(one["actor"], one["error"]) for one in await peopled.noted("router", CallerRefused)}
    assert (str(ADA), "not_owner") in refused


CLAIMS: dict[str, dict[str, Any]] = {
    "accounts[0].accountId": {"accounts": [{"login": "bob", "accountId": ADA}]},
    "accounts[0].sku": {"accounts": [{"login": "ada", "sku": "enterprise"}]},
    "repositories[0].repositoryId": {
        "repositories": [{"repository": "ada/tools", "enabledAs": ["provider"], "repositoryId": 602}]
    },
    "repositories[0].installationId": {
        "repositories": [{"repository": "ada/tools", "enabledAs": ["provider"], "installationId": 502}]
    },
}


@pytest.mark.parametrize("path", CLAIMS)
async def test_a_person_claims_no_ids_and_buys_nothing_by_a_catalog(peopled: Peopled, path: str) -> None:
    status, body = await peopled.call("ada", "POST", "/api/catalog/apply", CLAIMS[path])
    assert (status, [problem["path"] for problem in body["problems"]]) == (422, [path])
    assert (await peopled.call("operator.token", "GET", "/api/catalog"))[1]["accounts"] == []


CONTACT = {"name": "Ada", "email": "ada@example.org"}


async def test_what_an_operator_gives_an_account_is_what_its_catalog_may_enable(peopled: Peopled) -> None:
    """Ada has two repositories enabled, which is what `free` allows, and wants a third."""
    details = {"persona": "both", "kind": "individual", "contact": CONTACT}
    assert (await peopled.call("ada", "PUT", "/api/account", details))[1]["sku"] == "standard"
    assert (await peopled.call("ada", "POST", "/api/catalog/apply", catalog_of("ada")))[0] == 200
    more = {"repositories": [{"repository": "ada/more", "enabledAs": ["provider"]}]}
    for given, outcome in (("free", "sku_limit_exceeded"), ("enterprise", None)):
        path = f"/api/operations/identity/accounts/{ADA}/sku"
        assert (await peopled.call("ada", "PUT", path, {"sku": given}))[0] == 403
        assert (await peopled.call("sre", "PUT", path, {"sku": given}))[0] == 200
        await until(partial(peopled.has_sku, "ada", given))
        assert (await peopled.call("ada", "PUT", "/api/account", {"kind": "company"}))[1]["sku"] == given
        _, answer = await peopled.call("ada", "POST", "/api/catalog/apply", more)
        assert [problem["code"] for problem in answer.get("problems", [])] == ([outcome] if outcome else [])


async def test_a_service_token_is_for_the_internal_port_and_opens_nothing_else(peopled: Peopled) -> None:
    internal = [route for route in peopled.routes if isinstance(route.requires, ServiceRole)]
    assert len(internal) == 2
    for route in internal:
        assert route.internal
        assert (await peopled.call("sre", route.method, route.path, {}))[0] == 404
        for who in PEOPLE:
            headers = {"Authorization": f"Bearer {peopled.tokens[who]}"}
            async with peopled.http.post(peopled.hosted.internal_url + route.path, json={}, headers=headers) as answer:
                assert answer.status == 401
        assert ("unknown", name_of(route), "token_refused") in await peopled.refusals()
