"""Operators, owners and everybody else before the whole suite: what opens, what does not, and what is noted of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from services.identity.tests.conftest import until
from tests.e2e.people import catalog_of, session_of
from tests.e2e.suite import free_port
from zekt_cli.hosting.suite import build
from zekt_common.auth.authorisation_log import ActionOrdered, CallerRefused
from zekt_common.auth.operator import ensure_operator_token
from zekt_common.auth.requirements import (
    AccountOwner,
    Operator,
    OperatorOrOwner,
    PersonSession,
    Public,
    RepositoryAdmin,
    ServiceRole,
    SigningIn,
)
from zekt_common.kit.host import Hosted, serving
from zekt_common.kit.service import Route, Service
from zekt_common.kit.settings import EnvironmentReader, HostSettings
from zekt_sandbox import GitHubSandbox

ADA, BOB, SRE = 900_001, 900_002, 900_003
PEOPLE = {"ada": ADA, "bob": BOB, "sre": SRE}
OWN_ENDS = {("POST", "/auth/logout"), ("DELETE", "/api/account"), ("DELETE", "/api/account/sessions")}
"""What would end Ada's own session; it names nobody, so there is nobody else to end."""
NUMBERS = {
    "installation_id": "502",
    "repository_id": "602",
    "account_id": "900002",
    "run_id": "1",
    "delivery_id": "x",
    "sha256": "0" * 64,
}


@dataclass
class Suite:
    """Four services in one process, with people and an operator who may call them."""

    services: list[Service]
    hosted: Hosted
    http: aiohttp.ClientSession
    data_dir: Path
    tokens: dict[str, str]

    @property
    def routes(self) -> list[Route]:
        return [route for service in self.services for route in service.routes]

    async def call(self, who: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        sent = {"Authorization": f"Bearer {self.tokens[who]}"} if who else {}
        sent |= {"Content-Type": "application/json", **{name.replace("_", "-"): one for name, one in headers.items()}}
        data = None if body is None else msgspec.json.encode(body)
        async with self.http.request(
            method, self.hosted.url + path, data=data, headers=sent, allow_redirects=False
        ) as answer:
            content = await answer.read()
            return answer.status, msgspec.json.decode(content) if content else None

    async def has_sku(self, who: str, sku: str) -> bool:
        """Return whether the router has heard of the person's SKU."""
        _, seen = await self.call(who, "GET", "/api/catalog")
        return bool(seen["accounts"][0]["account"]["sku"] == sku)

    async def noted(self, service: str, kind: type[ActionOrdered] | type[CallerRefused]) -> list[Any]:
        path = f"/api/operations/{service}/events?limit=1000&type={kind.TYPE}"
        _, page = await self.call("operator.token", "GET", path)
        return [event["data"] for event in page["events"]]


@asynccontextmanager
async def running(sandbox: GitHubSandbox, directory: Path) -> AsyncIterator[Suite]:
    key_file, port, internal_port = directory / "app.pem", free_port(), free_port()
    key_file.write_text(sandbox.private_key_pem)
    env = {
        "ZEKT_DATA_DIR": str(directory / "data"),
        "ZEKT_PORT": str(port),
        "ZEKT_INTERNAL_PORT": str(internal_port),
        "ZEKT_IDENTITY_URL": f"http://127.0.0.1:{internal_port}",
        "ZEKT_GITHUB_API_URL": sandbox.url,
        "ZEKT_GITHUB_OIDC_ISSUER": sandbox.issuer,
        "ZEKT_GITHUB_APP_ID": str(sandbox.app_id),
        "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE": str(key_file),
        "ZEKT_GITHUB_WEBHOOK_SECRETS": sandbox.webhook_secret,
        "ZEKT_GITHUB_OAUTH_CLIENT_ID": sandbox.client_id,
        "ZEKT_GITHUB_OAUTH_CLIENT_SECRET": sandbox.client_secret,
        "ZEKT_WEBHOOK_MASTER_KEYS": f"1:{'ab' * 32}",
        "ZEKT_OPERATORS": str(SRE),
    }
    sandbox.callback_urls = [f"http://127.0.0.1:{port}/auth/callback"]
    services = list(build(env))
    jar = aiohttp.DummyCookieJar()
    async with (
        serving(services, HostSettings.read(EnvironmentReader(env))) as hosted,
        aiohttp.ClientSession(cookie_jar=jar) as http,
    ):
        await hosted.until_ready()
        tokens = {login: await session_of(http, hosted.url, login) for login in PEOPLE}
        tokens["operator.token"] = ensure_operator_token(directory / "data")
        yield Suite(services, hosted, http, directory / "data", tokens)


@pytest.fixture
async def suite(sandbox: GitHubSandbox, tmp_path: Path) -> AsyncIterator[Suite]:
    for number, (login, account_id) in enumerate(PEOPLE.items(), start=1):
        sandbox.create_user(login, id=account_id)
        sandbox.create_repository(f"{login}/tools", id=600 + number)
        sandbox.create_repository(f"{login}/site")
        sandbox.create_repository(f"{login}/more")
        sandbox.create_workflow(f"{login}/tools", ".github/workflows/ci.yml")
        sandbox.create_installation(login, id=500 + number)
    async with running(sandbox, tmp_path) as started:
        yield started


def path_of(route: Route) -> str:
    """The route with Bob's numbers in it."""
    path = route.path.replace(r":\d{1,18}", "")
    for name, value in NUMBERS.items():
        path = path.replace(f"{{{name}}}", value)
    return path.replace("{", "").replace("}", "")


async def test_without_a_credential_nothing_opens_but_what_says_so(suite: Suite) -> None:
    for route in suite.routes:
        if route.internal or isinstance(route.requires, Public):
            continue
        status, body = await suite.call("", route.method, path_of(route), {})
        if isinstance(route.requires, SigningIn):
            assert status in (200, 303, 400, 403), route.path
        else:
            assert status in (400, 401, 403), f"{route.method} {route.path}: {status}"
            assert set(body) <= {"error", "detail"}


async def test_a_person_is_no_operator_anywhere_and_that_is_noted(suite: Suite) -> None:
    operators = [route for route in suite.routes if isinstance(route.requires, Operator)]
    assert len(operators) > 20
    for route in operators:
        status, body = await suite.call("ada", route.method, path_of(route), {})
        assert (status, body["error"]) == (403, "role_missing"), route.path
        for service in suite.services:
            if route in service.routes:
                noted = [(one["actor"], one["route"]) for one in await suite.noted(service.name, CallerRefused)]
                assert (str(ADA), f"{route.method} {route.path}") in noted


async def test_an_operator_by_github_id_is_one_everywhere(suite: Suite) -> None:
    for route in suite.routes:
        if isinstance(route.requires, Operator | OperatorOrOwner):
            status, _ = await suite.call("sre", route.method, path_of(route), {})
            assert status not in (401, 403), f"{route.method} {route.path}"


async def test_no_account_gets_at_what_is_anothers(suite: Suite) -> None:
    """Ada, signed in, puts Bob's numbers into every route that people have."""
    assert (await suite.call("operator.token", "POST", "/api/catalog/apply", catalog_of("bob")))[0] == 200
    for route in suite.routes:
        if not isinstance(route.requires, PersonSession | AccountOwner | RepositoryAdmin | OperatorOrOwner):
            continue
        if (route.method, route.path) in OWN_ENDS:
            continue
        _, body = await suite.call("ada", route.method, path_of(route), {})
        told = msgspec.json.encode(body).decode()
        assert str(BOB) not in told, route.path
        assert "bob" not in told, route.path
        if "{" in route.path:
            assert set(body) == {"error", "detail"}, route.path


async def test_owners_apply_and_see_their_own_catalog(suite: Suite) -> None:
    status, applied = await suite.call("ada", "POST", "/api/catalog/apply", catalog_of("ada"))
    assert status == 200, applied
    assert all(position.startswith(f"catalog/{ADA}@") for position in applied["positions"])
    waiting = {"eventIds": applied["positions"], "timeoutS": 30}
    assert (await suite.call("ada", "POST", "/api/operations/ingress/wait", waiting))[0] == 200
    _, seen = await suite.call("ada", "GET", "/api/catalog")
    assert [account["account"]["login"] for account in seen["accounts"]] == ["ada"]
    assert (await suite.call("bob", "GET", "/api/catalog"))[1] == {"accounts": [], "next": None}
    assert (await suite.call("bob", "POST", "/api/operations/ingress/wait", waiting))[1]["error"] == "not_owner"
    ordered = [(one["actor"], one["route"]) for one in await suite.noted("router", ActionOrdered)]
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
async def test_nobody_applies_what_concerns_another_account(suite: Suite, what: str) -> None:
    assert (await suite.call("operator.token", "POST", "/api/catalog/apply", catalog_of("bob")))[0] == 200
    before = (await suite.call("operator.token", "GET", "/api/catalog"))[1]
    for document in (OTHERS[what], catalog_of("ada") | OTHERS[what]):
        status, body = await suite.call("ada", "POST", "/api/catalog/apply", document)
        assert (status, body["error"]) == (403, "not_owner")
        assert set(body) == {"error", "detail"}
    assert (await suite.call("operator.token", "GET", "/api/catalog"))[1] == before
    refused = {(one["actor"], one["error"]) for one in await suite.noted("router", CallerRefused)}
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
async def test_a_person_claims_no_ids_and_buys_nothing_by_a_catalog(suite: Suite, path: str) -> None:
    status, body = await suite.call("ada", "POST", "/api/catalog/apply", CLAIMS[path])
    assert (status, [problem["path"] for problem in body["problems"]]) == (422, [path])
    assert (await suite.call("operator.token", "GET", "/api/catalog"))[1]["accounts"] == []


CONTACT = {"name": "Ada", "email": "ada@example.org"}


async def test_what_an_operator_gives_an_account_is_what_its_catalog_may_enable(suite: Suite) -> None:
    """Ada has two repositories enabled, which is what `free` allows, and wants a third."""
    details = {"persona": "both", "kind": "individual", "contact": CONTACT}
    assert (await suite.call("ada", "PUT", "/api/account", details))[1]["sku"] == "standard"
    assert (await suite.call("ada", "POST", "/api/catalog/apply", catalog_of("ada")))[0] == 200
    more = {"repositories": [{"repository": "ada/more", "enabledAs": ["provider"]}]}
    for given, outcome in (("free", "sku_limit_exceeded"), ("enterprise", None)):
        path = f"/api/operations/identity/accounts/{ADA}/sku"
        assert (await suite.call("ada", "PUT", path, {"sku": given}))[0] == 403
        assert (await suite.call("sre", "PUT", path, {"sku": given}))[0] == 200
        await until(partial(suite.has_sku, "ada", given))
        assert (await suite.call("ada", "PUT", "/api/account", {"kind": "company"}))[1]["sku"] == given
        _, answer = await suite.call("ada", "POST", "/api/catalog/apply", more)
        assert [problem["code"] for problem in answer.get("problems", [])] == ([outcome] if outcome else [])


async def test_a_service_token_is_for_the_internal_port_and_opens_nothing_else(suite: Suite) -> None:
    internal = [route for route in suite.routes if isinstance(route.requires, ServiceRole)]
    assert len(internal) == 2
    for route in internal:
        assert route.internal
        assert (await suite.call("sre", route.method, route.path, {}))[0] == 404
        for who in PEOPLE:
            headers = {"Authorization": f"Bearer {suite.tokens[who]}"}
            async with suite.http.post(suite.hosted.internal_url + route.path, json={}, headers=headers) as answer:
                assert answer.status == 401
