"""Sessions as any service but identity verifies them: with fetched keys, and never by what is older than a minute."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import jwt
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from zekt_common.auth.refusals import IssuerUnreachable
from zekt_common.auth.session_keys import FetchedSessionKeys
from zekt_common.auth.sessions import CrossSiteRefused, SessionRefused, SessionVerifier, check_same_site
from zekt_common.contracts.identity_sessions import SESSION_KEYS_PATH, PublicKey, SessionKeySet

NOW = datetime(2026, 5, 1, tzinfo=UTC)
PUBLIC_URL = "https://zekt.example"


@dataclass
class Identity:
    """Publishes keys, or answers as told."""

    keys: dict[str, Ed25519PrivateKey] = field(default_factory=dict)
    ended_sessions: frozenset[str] = frozenset()
    ended_accounts: dict[int, datetime] = field(default_factory=dict)
    status: int = 200
    calls: int = 0
    hangs: asyncio.Event | None = None
    seconds: float = 1000.0

    def add_key(self, key_id: str) -> None:
        self.keys[key_id] = Ed25519PrivateKey.generate()

    async def answer(self, _request: web.Request) -> web.Response:
        self.calls += 1
        if self.hangs is not None:
            await self.hangs.wait()
        keys = [PublicKey(kid=kid, x=_x(key)) for kid, key in self.keys.items()]
        key_set = SessionKeySet(keys=keys, ended_sessions=self.ended_sessions, ended_accounts=self.ended_accounts)
        return web.Response(body=msgspec.json.encode(key_set), status=self.status)

    def token(self, key_id: str, session_id: str = "s1") -> str:
        claims: dict[str, Any] = {"iss": PUBLIC_URL, "aud": "zekt-session", "sub": "4242", "sid": session_id}
        claims |= {"auth_time": NOW.timestamp(), "iat": NOW.timestamp(), "exp": (NOW + timedelta(hours=1)).timestamp()}
        return jwt.encode(claims, self.keys[key_id], algorithm="EdDSA", headers={"kid": key_id})


def _x(key: Ed25519PrivateKey) -> str:
    return base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).rstrip(b"=").decode()


@asynccontextmanager
async def verifying(identity: Identity) -> AsyncIterator[SessionVerifier]:
    app = web.Application()
    app.router.add_get(SESSION_KEYS_PATH, identity.answer)
    async with TestServer(app, host="127.0.0.1") as server, aiohttp.ClientSession() as http:
        keys = FetchedSessionKeys(http, str(server.make_url("")), monotonic=lambda: identity.seconds)
        yield SessionVerifier(keys, public_url=PUBLIC_URL, clock=lambda: NOW)


@pytest.fixture
def identity() -> Identity:
    made = Identity()
    made.add_key("k1")
    return made


async def test_one_fetch_serves_for_twenty_seconds(identity: Identity) -> None:
    async with verifying(identity) as verifier:
        for _ in range(3):
            session = await verifier.session_of(identity.token("k1"))
            identity.seconds += 6
        assert (session.account_id, session.session_id, session.began_at) == (4242, "s1", NOW)
        assert identity.calls == 1
        identity.seconds += 3
        await verifier.session_of(identity.token("k1"))
        assert identity.calls == 2


async def test_a_session_that_ended_is_refused_within_a_minute(identity: Identity) -> None:
    async with verifying(identity) as verifier:
        await verifier.session_of(identity.token("k1"))
        identity.ended_sessions = frozenset({"s1"})
        identity.seconds += 21
        with pytest.raises(SessionRefused):
            await verifier.session_of(identity.token("k1"))
        await verifier.session_of(identity.token("k1", "s2"))
        identity.ended_accounts = {4242: NOW}
        identity.seconds += 21
        with pytest.raises(SessionRefused):
            await verifier.session_of(identity.token("k1", "s2"))


async def test_after_a_minute_without_identity_no_session_counts(identity: Identity) -> None:
    async with verifying(identity) as verifier:
        await verifier.session_of(identity.token("k1"))
        identity.status = 503
        identity.seconds += 59
        await verifier.session_of(identity.token("k1"))
        identity.seconds += 2
        with pytest.raises(IssuerUnreachable):
            await verifier.session_of(identity.token("k1"))


async def test_whoever_waited_while_identity_hung_does_not_wait_for_it_once_more(identity: Identity) -> None:
    async with verifying(identity) as verifier:
        await verifier.session_of(identity.token("k1"))
        identity.status, identity.hangs = 503, asyncio.Event()
        identity.seconds += 21
        first = asyncio.create_task(verifier.session_of(identity.token("k1")))
        while identity.calls < 2:  # noqa: ASYNC110 - the call is on its way
            await asyncio.sleep(0.001)
        identity.seconds += 3
        others = [asyncio.create_task(verifier.session_of(identity.token("k1"))) for _ in range(20)]
        await asyncio.sleep(0)
        identity.seconds += 2
        identity.hangs.set()
        await asyncio.gather(first, *others)
        assert identity.calls == 2


async def test_a_new_key_is_fetched_when_it_turns_up_and_unknown_ones_are_not_asked_for_again_and_again(
    identity: Identity,
) -> None:
    async with verifying(identity) as verifier:
        await verifier.session_of(identity.token("k1"))
        identity.add_key("k2")
        identity.seconds += 3
        await verifier.session_of(identity.token("k2"))
        assert identity.calls == 2
        stranger = Identity()
        stranger.add_key("k3")
        for _ in range(5):
            with pytest.raises(SessionRefused):
                await verifier.session_of(stranger.token("k3"))
        assert identity.calls == 2


async def test_a_key_id_that_fits_no_request_line_keeps_nobody_from_the_keys(identity: Identity) -> None:
    stranger = Identity()
    stranger.add_key("k" * 9000)
    async with verifying(identity) as verifier:
        with pytest.raises(SessionRefused):
            await verifier.session_of(stranger.token("k" * 9000))
        assert (await verifier.session_of(identity.token("k1"))).account_id == 4242
        assert identity.calls == 1


async def test_identity_that_never_answered_makes_every_session_wait(identity: Identity) -> None:
    identity.status = 500
    async with verifying(identity) as verifier:
        with pytest.raises(IssuerUnreachable) as unreachable:
            await verifier.session_of(identity.token("k1"))
        assert (unreachable.value.status, unreachable.value.retry_after_s) == (503, 2)


@pytest.mark.parametrize(
    ("method", "headers", "passes"),
    [
        ("GET", {"Sec-Fetch-Site": "cross-site"}, True),
        ("POST", {"Sec-Fetch-Site": "same-origin", "Origin": PUBLIC_URL}, True),
        ("POST", {"Origin": PUBLIC_URL}, True),
        ("POST", {"Sec-Fetch-Site": "none"}, True),
        ("POST", {}, False),
        ("DELETE", {"Origin": "null"}, False),
        ("PUT", {"Sec-Fetch-Site": "same-site"}, False),
        ("POST", {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, False),
        ("POST", {"Origin": f"{PUBLIC_URL}:444"}, False),
        ("BREW", {}, False),
    ],
)
def test_a_change_must_come_from_our_own_pages(method: str, headers: dict[str, str], *, passes: bool) -> None:
    if passes:
        check_same_site(method, headers, PUBLIC_URL)
        return
    with pytest.raises(CrossSiteRefused):
        check_same_site(method, headers, PUBLIC_URL)
