"""Who is let through to the routes of operators and owners, and what is noted of it."""

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

import aiohttp
import jwt
import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.auth.authorisation import CALLER, Caller, NotOwner, check_owner, repository_caller
from zekt_common.auth.authorisation_guard import ORDERS_AT_ONCE
from zekt_common.auth.authorisation_log import (
    ACCESS_SCHEMAS,
    MACHINES_REFUSALS_PER_MINUTE,
    REFUSALS_PER_MINUTE,
    ActionOrdered,
    AuthorisationLog,
    CallerRefused,
)
from zekt_common.auth.entra_settings import EntraTenant
from zekt_common.auth.operator import ensure_operator_token
from zekt_common.auth.refusals import TokenRefused
from zekt_common.auth.requirements import ActionsToken, Operator, OperatorOrOwner, Public
from zekt_common.auth.sessions import COOKIE
from zekt_common.clock import utc_now
from zekt_common.contracts.identity_sessions import SESSION_KEYS_PATH, PublicKey, SessionKeySet
from zekt_common.envelope import Event, decode, encode
from zekt_common.errors import SettingsError
from zekt_common.kit.errors import Refusal, json_response
from zekt_common.kit.host import serving
from zekt_common.kit.service import Check, Route, Service
from zekt_common.kit.settings import EnvironmentReader, HostSettings
from zekt_sandbox.entra import EntraSandbox
from zekt_sandbox.entra import serving as entra_serving

PUBLIC_URL = "https://zekt.example"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
ADA, BOB = 4_242, 4_243


@dataclass
class Guarded:
    """A service with a route for operators and one for owners too, and identity's keys beside it."""

    url: str
    http: aiohttp.ClientSession
    backend: Backend
    operator_token: str
    key: Ed25519PrivateKey
    handled: list[Caller] = field(default_factory=list)

    def session(self, account_id: int, **changes: Any) -> str:
        now = utc_now().timestamp()
        claims = {"iss": PUBLIC_URL, "aud": "zekt-session", "sub": str(account_id), "sid": "s"}
        times = {"auth_time": now, "iat": now, "exp": now + 3600}
        return jwt.encode(claims | times | changes, self.key, algorithm="EdDSA", headers={"kid": "k1"})

    async def call(self, path: str, token: str = "", method: str = "POST", **headers: str) -> tuple[int, str]:
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(method, self.url + path, headers=sent) as response:
            body = await response.json()
            return response.status, body.get("error") or body["actor"]

    async def told(self, path: str, token: str) -> str:
        """Return the detail of a refusal."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.post(self.url + path, headers=headers) as response:
            detail: str = (await response.json())["detail"]
            return detail

    async def events(self, kind: type[Event]) -> list[Any]:
        [feed] = await self.backend.store.feeds()
        stored = (await self.backend.store.read_feed(feed)).events
        return [msgspec.json.decode(event.data, type=kind) for event in stored if event.type == kind.TYPE]


def _service(guarded: list[Guarded], backend: Backend) -> Service:
    async def act(request: web.Request) -> web.Response:
        caller = request[CALLER]
        guarded[0].handled.append(caller)
        return json_response({"actor": caller.actor, "noted": len(await guarded[0].events(ActionOrdered))})

    async def open_to_all(_request: web.Request) -> web.Response:
        return json_response({"actor": "anybody"})

    async def knocked_at(request: web.Request) -> web.Response:
        """Turn away whoever knocks: one repository, or nobody whom anything is known of."""
        if "repository" not in request.query:
            raise TokenRefused("No.")
        request[CALLER] = repository_caller(int(request.query["repository"]))
        raise Refusal(404, "There is nothing of yours.", code="not_yours")

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        yield

    async def nothing_to_drain() -> None:
        await asyncio.sleep(0)

    async def checks() -> Sequence[Check]:
        return []

    routes = [
        Route(method="POST", path="/operate", handler=act, requires=Operator()),
        Route(method="GET", path="/operate", handler=act, requires=Operator()),
        Route(method="POST", path="/own", handler=act, requires=OperatorOrOwner()),
        Route(method="POST", path="/open", handler=open_to_all, requires=Public()),
        Route(method="POST", path="/knock", handler=knocked_at, requires=ActionsToken()),
    ]
    return Service(
        name="stage",
        routes=routes,
        lifespan=lifespan,
        drain=nothing_to_drain,
        accepting=checks,
        checks=checks,
        store=lambda: backend.store,
    )


@asynccontextmanager
async def guarded_at(data_dir: Path, *, entra: EntraTenant | None = None, **changes: Any) -> AsyncIterator[Guarded]:
    key = Ed25519PrivateKey.generate()
    x = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).rstrip(b"=").decode()

    async def keys(_request: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(SessionKeySet(keys=[PublicKey(kid="k1", x=x)])))

    identity = web.Application()
    identity.router.add_get(SESSION_KEYS_PATH, keys)
    runner = web.AppRunner(identity)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    settings = HostSettings(
        **{
            "port": 0,
            "internal_port": 0,
            "data_dir": data_dir,
            "operators": frozenset({ADA}),
            "identity_url": f"http://127.0.0.1:{runner.addresses[0][1]}",
            "public_url": PUBLIC_URL,
            **changes,
        }
    )
    made: list[Guarded] = []
    async with (
        open_backend(data_dir, "stage") as backend,
        serving([_service(made, backend)], settings, entra=entra) as hosted,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        made.append(Guarded(hosted.url, http, backend, ensure_operator_token(data_dir), key))
        yield made[0]
    await runner.cleanup()


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with guarded_at(tmp_path) as running:
        yield running


async def test_an_operator_is_known_by_their_github_id_and_nobody_else_is_one(guarded: Guarded) -> None:
    assert await guarded.call("/operate", guarded.session(ADA)) == (200, str(ADA))
    assert await guarded.call("/operate", guarded.session(BOB)) == (403, "role_missing")
    assert [caller.account_id for caller in guarded.handled] == [ADA]


async def test_each_caller_who_lacks_the_role_is_told_what_is_true_of_them(
    guarded: Guarded, tenant: EntraSandbox, tmp_path: Path
) -> None:
    service = tenant.mint(tenant.register("Tokens.Installation").client_id)
    assert await guarded.told("/operate", guarded.session(BOB)) == (
        "This takes an operator, and you are none. Whoever runs the suite lists them by GitHub user id."
    )
    async with guarded_at(tmp_path / "entra", entra=_settings(tenant)) as with_entra:
        assert await with_entra.told("/operate", service) == "The token lacks the role Operator."


async def test_the_operator_token_opens_from_this_machine_alone(guarded: Guarded) -> None:
    assert await guarded.call("/operate", guarded.operator_token) == (200, "operator.token")
    assert await guarded.call("/operate", guarded.operator_token, X_Forwarded_For="203.0.113.9") == (
        403,
        "operator_not_local",
    )
    assert await guarded.call("/operate", "x" * 43) == (401, "token_refused")
    assert await guarded.call("/operate") == (401, "token_refused")


@pytest.mark.parametrize("forwarded", ["127.0.0.1", "203.0.113.9", "127.0.0.1, 203.0.113.9", "::1", ""])
async def test_behind_a_trusted_proxy_nothing_forwarded_makes_a_caller_local(tmp_path: Path, forwarded: str) -> None:
    async with guarded_at(tmp_path, trusted_proxies=(ip_network("127.0.0.0/8"),)) as guarded:
        answer = await guarded.call("/operate", guarded.operator_token, X_Forwarded_For=forwarded)
        assert answer == (403, "operator_not_local")


async def test_what_a_trusted_proxy_passes_on_is_noted_with_where_it_came_from(tmp_path: Path) -> None:
    async with guarded_at(tmp_path, trusted_proxies=(ip_network("127.0.0.1"),)) as guarded:
        await guarded.call("/own", guarded.session(BOB), X_Forwarded_For="203.0.113.9")
        await guarded.call("/operate", guarded.session(BOB), X_Forwarded_For="198.51.100.7")
        assert [noted.origin for noted in await guarded.events(ActionOrdered)] == ["203.0.113.0/24"]
        assert [noted.origin for noted in await guarded.events(CallerRefused)] == ["198.51.100.0/24"]


async def test_an_operators_session_opens_from_elsewhere(guarded: Guarded) -> None:
    assert await guarded.call("/operate", guarded.session(ADA), X_Forwarded_For="203.0.113.9") == (200, str(ADA))


async def test_a_session_that_is_not_good_makes_no_operator(guarded: Guarded) -> None:
    stranger = jwt.encode({"sub": str(ADA)}, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"kid": "k1"})
    for token in (guarded.session(ADA, exp=1), guarded.session(ADA, iss="https://evil.example"), stranger, "a.b.c"):
        assert await guarded.call("/operate", token) == (401, "token_refused")
    assert guarded.handled == []


async def test_an_operators_cookie_orders_nothing_for_another_site(guarded: Guarded) -> None:
    cookie = f"{COOKIE}={guarded.session(ADA)}"
    assert await guarded.call("/operate", Cookie=cookie, Sec_Fetch_Site="cross-site") == (403, "cross_site_refused")
    assert await guarded.call("/operate", Cookie=cookie, Sec_Fetch_Site="same-origin") == (200, str(ADA))


async def test_every_order_is_noted_before_it_is_carried_out_and_looking_is_not(guarded: Guarded) -> None:
    async with guarded.http.post(
        f"{guarded.url}/operate", headers={"Authorization": f"Bearer {guarded.session(ADA)}"}
    ) as response:
        assert (await response.json())["noted"] == 1
    await guarded.call("/operate", guarded.session(ADA), method="GET")
    await guarded.call("/own", guarded.session(BOB))
    noted = [(event.actor, event.route, event.origin) for event in await guarded.events(ActionOrdered)]
    assert noted == [(str(ADA), "POST /operate", "127.0.0.0/24"), (str(BOB), "POST /own", "127.0.0.0/24")]


async def test_refusals_are_noted_once_a_minute_with_who_it_was(guarded: Guarded) -> None:
    for _ in range(3):
        await guarded.call("/operate", guarded.session(BOB))
        await guarded.call("/operate")
    noted = {(event.actor, event.route, event.error) for event in await guarded.events(CallerRefused)}
    assert noted == {(str(BOB), "POST /operate", "role_missing"), ("unknown", "POST /operate", "token_refused")}
    assert len(await guarded.events(CallerRefused)) <= 4  # the minute may have ended in between
    assert await guarded.events(ActionOrdered) == []


async def test_a_person_orders_at_a_bounded_rate_and_an_operator_as_they_need(guarded: Guarded) -> None:
    answers = [await guarded.call("/own", guarded.session(BOB)) for _ in range(ORDERS_AT_ONCE + 5)]
    refused = [answer for answer in answers if answer == (429, "too_many_orders")]
    assert 1 <= len(refused) <= 5  # the bucket fills meanwhile
    assert answers[:ORDERS_AT_ONCE] == [(200, str(BOB))] * ORDERS_AT_ONCE
    assert len(await guarded.events(ActionOrdered)) == len(answers) - len(refused)
    assert {await guarded.call("/own", guarded.session(ADA)) for _ in range(ORDERS_AT_ONCE + 5)} == {(200, str(ADA))}


async def test_a_flood_of_refusals_is_cut_short(tmp_path: Path) -> None:
    now = datetime.fromisoformat("2026-05-01T08:00:30+00:00")
    async with open_backend(tmp_path, "stage") as backend:
        log = AuthorisationLog("stage", lambda: backend.store, clock=lambda: now)
        for network in range(REFUSALS_PER_MINUTE + 50):
            await log.refused(actor="unknown", origin=f"net {network}", route="POST /operate", error="token_refused")
        await log.refused(actor=str(BOB), origin="net 1", route="POST /operate", error="role_missing")
        [feed] = await backend.store.feeds()
        stored = (await backend.store.read_feed(feed)).events
    assert len(stored) == REFUSALS_PER_MINUTE + 2
    cut, last = (msgspec.json.decode(event.data, type=CallerRefused) for event in stored[-2:])
    assert (cut.actor, cut.origin) == ("unknown", "elsewhere")
    assert (last.actor, last.origin) == (str(BOB), "net 1"), "who is known is counted apart"


async def test_machines_that_are_turned_away_are_noted_by_a_stable_code(guarded: Guarded) -> None:
    assert await guarded.call("/knock") == (401, "token_refused")
    assert await guarded.call("/knock?repository=7") == (404, "There is nothing of yours.")
    noted = {(event.actor, event.route, event.error) for event in await guarded.events(CallerRefused)}
    assert noted == {("unknown", "POST /knock", "token_refused"), ("repository/7", "POST /knock", "not_yours")}


async def test_a_flood_at_the_machines_doors_fills_no_disk_and_hides_nobody(guarded: Guarded) -> None:
    for repository in range(MACHINES_REFUSALS_PER_MINUTE * 3):
        await guarded.call(f"/knock?repository={repository}")
    assert await guarded.call("/operate", guarded.session(BOB)) == (403, "role_missing")
    *knocked, last = await guarded.events(CallerRefused)
    assert len(knocked) <= 2 * (MACHINES_REFUSALS_PER_MINUTE + 1)  # the minute may have ended in between
    assert "elsewhere" in {event.origin for event in knocked}
    assert (last.actor, last.error) == (str(BOB), "role_missing")


async def test_a_route_that_is_open_to_all_asks_nothing_and_notes_nothing(guarded: Guarded) -> None:
    assert await guarded.call("/open") == (200, "anybody")
    assert await guarded.events(CallerRefused) == []


async def test_without_identity_no_session_makes_an_operator_and_the_token_still_does(tmp_path: Path) -> None:
    async with guarded_at(tmp_path, identity_url="http://127.0.0.1:9") as guarded:
        assert await guarded.call("/operate", guarded.session(ADA)) == (503, "issuer_unreachable")
        assert await guarded.call("/operate", guarded.operator_token) == (200, "operator.token")


def test_a_person_owns_their_own_account_and_no_other() -> None:
    person = Caller(actor="1", is_operator=False, account_id=1)
    check_owner(person, [1, 1])
    check_owner(Caller(actor="entra:x", is_operator=True), [1, 2])
    for others in ([2], [1, 2]):
        with pytest.raises(NotOwner):
            check_owner(person, others)


@pytest.mark.parametrize("value", ["octocat", "4242,", "-1", "0", "4242;4243", "9" * 30, "४२"])
def test_operators_are_numbers_or_the_setting_is_named(value: str) -> None:
    reader = EnvironmentReader({"ZEKT_OPERATORS": value})
    operators = HostSettings.read(reader).operators
    if value == "4242,":
        assert operators == {4_242}
        return
    with pytest.raises(SettingsError, match="ZEKT_OPERATORS must be GitHub user ids"):
        reader.check()


@pytest.fixture
async def tenant() -> AsyncIterator[EntraSandbox]:
    async with entra_serving() as running:
        yield running


def _settings(tenant: EntraSandbox) -> EntraTenant:
    return EntraTenant(
        tenant_id=tenant.tenant_id, audience=tenant.api_id, authority=tenant.url, ca_file=str(tenant.ca_file)
    )


async def test_an_app_role_of_entra_makes_an_operator_of_an_application_and_of_a_person(
    tenant: EntraSandbox, tmp_path: Path
) -> None:
    operator = tenant.register("Operator")
    async with guarded_at(tmp_path, entra=_settings(tenant)) as guarded:
        application = tenant.mint(operator.client_id)
        person = tenant.mint(operator.client_id, oid="ada", sub="pairwise", scp="user_impersonation", idtyp="user")
        assert await guarded.call("/operate", application) == (200, f"entra:{operator.object_id}")
        assert await guarded.call("/operate", person) == (200, "entra:ada")


async def test_without_the_role_or_from_another_tenant_nobody_is_an_operator(
    tenant: EntraSandbox, tmp_path: Path
) -> None:
    service, operator = tenant.register("Tokens.Installation"), tenant.register("Operator")
    async with guarded_at(tmp_path, entra=_settings(tenant)) as guarded:
        assert await guarded.call("/operate", tenant.mint(service.client_id)) == (403, "role_missing")
        assert await guarded.call("/own", tenant.mint(service.client_id)) == (403, "role_missing")
        for changes in ({"tid": "other"}, {"aud": "other"}, {"exp": 1}, {"oid": None}, {"iss": f"{tenant.url}/x/v2.0"}):
            assert await guarded.call("/operate", tenant.mint(operator.client_id, **changes)) == (401, "token_refused")
    async with guarded_at(tmp_path / "other") as without_entra:
        assert await without_entra.call("/operate", tenant.mint(operator.client_id)) == (401, "token_refused")


@pytest.mark.parametrize("version", ["1.0", "2.0"])
async def test_an_id_token_that_carries_the_role_opens_nothing(tmp_path: Path, version: Literal["1.0", "2.0"]) -> None:
    """Its audience is the client that signs people in, which may be the API's own registration."""
    async with entra_serving(token_version=version) as tenant, guarded_at(tmp_path, entra=_settings(tenant)) as guarded:
        operator = tenant.register("Operator")
        said: dict[str, Any] = {"oid": "ada", "sub": "pairwise", "nonce": "n", "preferred_username": "ada@example.org"}
        id_token = tenant.mint(operator.client_id, without=("azp", "appid"), **said)
        assert await guarded.call("/operate", id_token) == (401, "token_refused")
        assert await guarded.call("/operate", tenant.mint(operator.client_id, **said)) == (200, "entra:ada")


GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("kind", list(ACCESS_SCHEMAS), ids=lambda kind: kind.TYPE)
def test_what_is_noted_decodes_for_ever(kind: type[Event]) -> None:
    path = GOLDEN / f"{kind.TYPE}.v{kind.SCHEMA_VERSION}.json"
    envelope = decode(path.read_bytes())
    again = msgspec.structs.replace(envelope, data=msgspec.Raw(msgspec.json.encode(ACCESS_SCHEMAS.decode(envelope))))
    assert encode(again) == path.read_bytes().rstrip(b"\n")
