"""What a session must withstand: whatever is wrong with it, the answer is the same, and leaves a note."""

import base64
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from zekt_common.adapters.embedded import open_backend
from zekt_common.auth.session_keys import FetchedSessionKeys
from zekt_common.auth.sessions import COOKIE, LEEWAY_S, SessionVerifier
from zekt_identity.key_ring import KeyRing, SigningKey
from zekt_identity.sealing import Sealer
from zekt_identity.session import SESSION_LIFE

from .conftest import Running

ROUTES = [
    ("GET", "/api/account"),
    ("PUT", "/api/account"),
    ("DELETE", "/api/account"),
    ("DELETE", "/api/account/sessions"),
    ("GET", "/api/audit"),
    ("POST", "/auth/renew"),
    ("POST", "/auth/logout"),
]
Forge = Callable[[dict[str, Any], SigningKey], str]


def signed(claims: dict[str, Any], key: SigningKey, **header: str) -> str:
    return jwt.encode(claims, key.private, algorithm="EdDSA", headers={"kid": key.kid, **header})


def changed(**changes: Any) -> Forge:
    return lambda claims, key: signed(claims | changes, key)


def without(name: str) -> Forge:
    return lambda claims, key: signed({k: v for k, v in claims.items() if k != name}, key)


def unsigned(claims: dict[str, Any], key: SigningKey) -> str:
    parts = [{"alg": "none", "typ": "JWT", "kid": key.kid}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, ""])


def confused(claims: dict[str, Any], key: SigningKey) -> str:
    """Signed with HMAC, the public key as its secret."""
    return jwt.encode(claims, key.private.public_key().public_bytes_raw(), algorithm="HS256", headers={"kid": key.kid})


def forged(claims: dict[str, Any], key: SigningKey) -> str:
    return signed(claims, SigningKey(key.kid, Ed25519PrivateKey.generate()))


def of_unknown_key(claims: dict[str, Any], _key: SigningKey) -> str:
    return signed(claims, SigningKey("20000-none", Ed25519PrivateKey.generate()))


FORGERIES: dict[str, Forge] = {
    "forged": forged,
    "unknown kid": of_unknown_key,
    "no kid": lambda claims, key: jwt.encode(claims, key.private, algorithm="EdDSA"),
    "kid of another kind": lambda claims, key: jwt.encode(
        claims, key.private, algorithm="EdDSA", headers={"kid": key.kid.encode().hex()}
    ),
    "alg none": unsigned,
    "alg HS256": confused,
    "expired": changed(exp=1_700_000_000),
    "no expiry": without("exp"),
    "not valid yet": changed(iat=9_999_999_999),
    "wrong audience": changed(aud="api://zekt-identity"),
    "several audiences": changed(aud=["zekt-session", "other"]),
    "wrong issuer": changed(iss="https://evil.example"),
    "no subject": without("sub"),
    "odd subject": changed(sub="4242 or 1=1"),
    "no session id": without("sid"),
    "garbage": lambda _claims, _key: "not.a.token",
    "empty": lambda _claims, _key: "",
    "huge": lambda _claims, _key: "a" * 7000,
}


async def session_of(identity: Running) -> tuple[dict[str, Any], SigningKey]:
    """The claims of a good session, and the key that it is signed with."""
    browser = identity.browser()
    await browser.sign_in()
    claims = jwt.decode(browser.cookies[COOKIE], options={"verify_signature": False})
    async with open_backend(identity.data_dir, "identity") as backend:
        now = datetime.fromtimestamp(claims["iat"], identity.clock().tzinfo)
        return claims, await KeyRing(backend.views, Sealer(backend.keys)).signing_key(now)


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_no_forgery_is_a_session(identity: Running, forgery: str) -> None:
    claims, key = await session_of(identity)
    good = identity.browser()
    good.cookies = {COOKIE: signed(claims, key)}
    assert (await good.call("GET", "/api/account")).status == 200
    token = FORGERIES[forgery](claims, key)
    browser = identity.browser()
    browser.cookies = {COOKIE: token}
    as_cookie = await browser.call("GET", "/api/account")
    as_bearer = await identity.browser().call("GET", "/api/account", Authorization=f"Bearer {token}")
    for answer in (as_cookie, as_bearer):
        assert answer.told == (401, "token_refused")
        assert answer.body["detail"] == "Sign in at /auth/login, or with `zekt login`."
    assert ("GET /api/account", "token_refused", 0) in await identity.refusals()


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_no_route_of_people_opens_without_a_session(identity: Running, method: str, path: str) -> None:
    answer = await identity.browser().call(method, path, b"{}")
    assert answer.told == (401, "token_refused")
    assert (f"{method} {path}", "token_refused", 0) in await identity.refusals()


CROSS_SITE: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site", "Origin": "https://other.zekt.example"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "", "Origin": "null"},
    {"Sec-Fetch-Site": ""},
]


@pytest.mark.parametrize("headers", CROSS_SITE)
@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[0] != "GET"])
async def test_a_change_that_another_site_asks_for_is_refused(
    identity: Running, method: str, path: str, headers: dict[str, str]
) -> None:
    browser = identity.browser()
    await browser.sign_in()
    answer = await browser.call(method, path, b"{}", **headers)
    assert answer.told == (403, "cross_site_refused")
    assert (f"{method} {path}", "cross_site_refused", 0) in await identity.refusals()
    assert (await browser.call("GET", "/api/account")).body["status"] == "linked"


async def test_a_bearer_needs_no_page_to_come_from(identity: Running) -> None:
    claims, key = await session_of(identity)
    headers = {"Authorization": f"Bearer {signed(claims, key)}", "Sec-Fetch-Site": ""}
    assert (await identity.browser().call("POST", "/auth/logout", **headers)).status == 204


async def test_a_session_is_over_after_an_hour_and_after_twelve_for_good(identity: Running) -> None:
    browser = identity.browser()
    await browser.sign_in()
    for _ in range(12):
        identity.clock.advance(minutes=59, seconds=55)
        assert (await browser.call("POST", "/auth/renew")).status == 204
    identity.clock.advance(minutes=1, seconds=5)
    assert (await browser.call("GET", "/api/account")).told == (401, "token_refused")
    await browser.sign_in()
    identity.clock.advance(hours=1, seconds=5)
    assert (await browser.call("POST", "/auth/renew")).told == (401, "token_refused")


@pytest.mark.parametrize("ending", [("POST", "/auth/logout"), ("DELETE", "/api/account/sessions")])
async def test_what_was_ended_does_not_come_back_in_the_seconds_that_clocks_may_differ_by(
    identity: Running, ending: tuple[str, str]
) -> None:
    browser, began = identity.browser(), identity.clock()
    await browser.sign_in()
    for _ in range(12):
        identity.clock.advance(minutes=59, seconds=58)
        assert (await browser.call("POST", "/auth/renew")).status == 204
    stolen = identity.browser()
    stolen.cookies = dict(browser.cookies)
    assert (await browser.call(*ending)).status == 204
    identity.clock.now = began + SESSION_LIFE + timedelta(seconds=LEEWAY_S - 1)
    assert (await stolen.call("GET", "/api/account")).told == (401, "token_refused")


async def test_what_is_signed_with_a_key_that_is_new_counts_at_once_in_other_services(identity: Running) -> None:
    seconds, browser = [1000.0], identity.browser()
    keys = FetchedSessionKeys(identity.http, identity.hosted.internal_url, monotonic=lambda: seconds[0])
    elsewhere = SessionVerifier(keys, public_url=identity.hosted.url, clock=identity.clock)
    identity.clock.now = identity.clock().replace(hour=23, minute=59, second=59)
    await browser.sign_in()
    await elsewhere.session_of(browser.cookies[COOKIE])
    seconds[0] += 3
    identity.clock.advance(seconds=2)
    assert (await browser.call("POST", "/auth/renew")).status == 204
    assert (await elsewhere.session_of(browser.cookies[COOKIE])).account_id == 4_242


async def test_keys_change_daily_and_what_was_signed_before_counts_on(identity: Running) -> None:
    browser = identity.browser()
    await browser.sign_in()
    first = jwt.get_unverified_header(browser.cookies[COOKIE])["kid"]
    moment = identity.clock()
    identity.clock.now = moment.replace(hour=23, minute=50)
    await browser.sign_in()
    identity.clock.advance(minutes=20)
    assert (await browser.call("POST", "/auth/renew")).status == 204
    assert jwt.get_unverified_header(browser.cookies[COOKIE])["kid"] != first
    assert (await browser.call("GET", "/api/account")).status == 200
