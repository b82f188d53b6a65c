import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from zekt_common.auth.actions_oidc import ActionsTokenVerifier
from zekt_common.auth.issuer_keys import IssuerKeys
from zekt_common.auth.refusals import IssuerUnreachable, TokenRefused
from zekt_common.errors import SettingsError
from zekt_sandbox import GitHubSandbox

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
KEY = generate_private_key(public_exponent=65537, key_size=2048)
FOREIGN_KEY = generate_private_key(public_exponent=65537, key_size=2048)
SHORT_KEY = generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - to see it refused


@dataclass
class Issuer:
    """An OpenID issuer that counts what is fetched from it."""

    url: str = ""
    status: int = 200
    keys: dict[str, RSAPrivateKey] = field(default_factory=lambda: {"one": KEY})
    discovery: dict[str, Any] = field(default_factory=dict)
    asked: int = 0
    fetches: int = 0

    async def get_discovery(self, _request: web.Request) -> web.Response:
        self.asked += 1
        document = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"} | self.discovery
        return web.json_response(document, status=self.status)

    async def get_keys(self, _request: web.Request) -> web.Response:
        self.fetches += 1
        keys = [public_jwk(key, key_id) for key_id, key in self.keys.items()]
        return web.json_response({"keys": [{"kty": "oct", "kid": "odd"}, {"kid": 3}, *keys]})


def public_jwk(key: RSAPrivateKey, key_id: str) -> dict[str, Any]:
    return RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": key_id, "use": "sig", "alg": "RS256"}


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    served = Issuer()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", served.get_discovery)
    app.router.add_get("/keys", served.get_keys)
    async with TestServer(app, host="127.0.0.1") as server:
        served.url = str(server.make_url("")).rstrip("/")
        yield served


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def verifier(issuer: Issuer, http: aiohttp.ClientSession) -> ActionsTokenVerifier:
    return ActionsTokenVerifier(http, issuer=issuer.url, audience="api://zekt", clock=lambda: NOW)


def claims_of(issuer: Issuer, **changes: Any) -> dict[str, Any]:
    seconds = int(NOW.timestamp())
    claims = {
        "iss": issuer.url,
        "aud": "api://zekt",
        "iat": seconds,
        "nbf": seconds - 300,
        "exp": seconds + 300,
        "sub": "repo:acme/provider:ref:refs/heads/main",
        "jti": "again",
        "repository": "acme/provider",
        "repository_id": "101",
        "repository_owner": "acme",
        "repository_owner_id": "7",
        "run_id": "9001",
        "run_attempt": "2",
        "workflow": "CI",
        "workflow_ref": "acme/provider/.github/workflows/ci.yml@refs/heads/main",
        "job_workflow_ref": "acme/shared/.github/workflows/x.yml@refs/heads/main",
        "ref": "refs/heads/main",
        "sha": "c0ffee",
        "actor": "octocat",
        "event_name": "push",
    }
    return {name: value for name, value in (claims | changes).items() if value is not None}


def header_of(claims: dict[str, Any], key: Any = KEY, *, algorithm: str = "RS256", key_id: Any = "one") -> str:
    return "Bearer " + jwt.encode(claims, key, algorithm=algorithm, headers={"kid": key_id} if key_id else {})


def hs256_with_the_public_key(claims: dict[str, Any]) -> str:
    def encoded(part: bytes) -> bytes:
        return base64.urlsafe_b64encode(part).rstrip(b"=")

    head = {"alg": "HS256", "typ": "JWT", "kid": "one"}
    signed = encoded(json.dumps(head).encode()) + b"." + encoded(json.dumps(claims).encode())
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return f"Bearer {(signed + b'.' + encoded(hmac.digest(pem, signed, hashlib.sha256))).decode()}"


async def test_an_honest_token_yields_its_claims(issuer: Issuer, verifier: ActionsTokenVerifier) -> None:
    claims = await verifier.verify(header_of(claims_of(issuer)))
    assert (claims.repository_id, claims.repository_owner_id, claims.run_id, claims.run_attempt) == (101, 7, 9001, 2)
    assert claims.workflow_path == ".github/workflows/ci.yml"


async def test_the_same_token_may_come_again(issuer: Issuer, verifier: ActionsTokenVerifier) -> None:
    header = header_of(claims_of(issuer))
    assert await verifier.verify(header) == await verifier.verify(header)
    assert issuer.fetches == 1


async def test_a_token_of_the_stand_in_is_believed(http: aiohttp.ClientSession) -> None:
    async with GitHubSandbox.start() as sandbox:
        repository = sandbox.create_repository("acme/provider")
        sandbox.create_workflow("acme/provider", ".github/workflows/ci.yml", name="CI")
        run = await sandbox.start_run("acme/provider", ".github/workflows/ci.yml", send=False)
        verifier = ActionsTokenVerifier(http, issuer=sandbox.issuer)
        claims = await verifier.verify(f"Bearer {sandbox.mint_oidc_token(run.id)}")
        assert (claims.repository_id, claims.run_id) == (repository.id, run.id)
        assert claims.workflow_path == ".github/workflows/ci.yml"


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        (None, "Send the header Authorization"),
        ("", "Send the header Authorization"),
        ("Bearer", "must be: Bearer <token>"),
        ("Basic YTpi", "must be: Bearer <token>"),
        ("Bearer tökén", "characters no token has"),
        ("Bearer \udcff\udcfe", "characters no token has"),
        ("Bearer a b", "characters no token has"),
        ("Bearer " + "a" * 20_000, "too long"),
        ("Bearer garbage", "no JSON Web Token"),
        ("Bearer a.b.c", "no JSON Web Token"),
        ("Bearer " + base64.urlsafe_b64encode(b"[" * 9000).decode() + ".e30.e30", "no JSON Web Token"),
    ],
)
async def test_what_is_no_token_is_refused(
    verifier: ActionsTokenVerifier, issuer: Issuer, header: str | None, detail: str
) -> None:
    with pytest.raises(TokenRefused) as refused:
        await verifier.verify(header)
    assert detail in refused.value.detail
    assert (refused.value.status, issuer.fetches) == (401, 0)


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"iss": "https://evil.example"}, "was not issued by"),
        ({"iss": None}, "was not issued by"),
        ({"aud": "api://other"}, "audience api://zekt"),
        ({"aud": None}, "audience api://zekt"),
        ({"aud": ["api://other"]}, "audience api://zekt"),
        ({"exp": int(NOW.timestamp()) - 61}, "expired"),
        ({"exp": None}, "no expiry"),
        ({"exp": "soon"}, "exp is no number"),
        ({"exp": True}, "exp is no number"),
        ({"nbf": int(NOW.timestamp()) + 61}, "not valid yet"),
        ({"iat": int(NOW.timestamp()) + 61}, "not valid yet"),
        ({"repository_id": None}, "repository_id"),
        ({"repository_owner_id": "acme"}, "repository_owner_id"),
        ({"run_id": None}, "run_id"),
        ({"repository": 5}, "repository"),
        ({"sub": None}, "sub"),
    ],
)
async def test_a_signed_token_that_is_not_for_us_is_refused(
    issuer: Issuer, verifier: ActionsTokenVerifier, changes: dict[str, Any], detail: str
) -> None:
    claims = {name: value for name, value in (claims_of(issuer) | changes).items() if value is not None}
    with pytest.raises(TokenRefused) as refused:
        await verifier.verify(header_of(claims))
    assert detail in refused.value.detail


@pytest.mark.parametrize("changes", [{"exp": int(NOW.timestamp()) - 59}, {"nbf": int(NOW.timestamp()) + 59}])
async def test_clocks_may_differ_by_a_minute(
    issuer: Issuer, verifier: ActionsTokenVerifier, changes: dict[str, Any]
) -> None:
    assert (await verifier.verify(header_of(claims_of(issuer, **changes)))).run_id == 9001


async def test_one_of_several_audiences_is_enough(issuer: Issuer, verifier: ActionsTokenVerifier) -> None:
    assert (await verifier.verify(header_of(claims_of(issuer, aud=["x", "api://zekt"])))).run_id == 9001


async def test_forged_signatures_are_refused(issuer: Issuer, verifier: ActionsTokenVerifier) -> None:
    claims = claims_of(issuer)
    honest = header_of(claims)
    for forged, detail in (
        (header_of(claims, "", algorithm="none"), "RS256"),
        (header_of(claims, "s" * 32, algorithm="HS256"), "RS256"),
        (header_of(claims, algorithm="RS512"), "RS256"),
        (hs256_with_the_public_key(claims), "RS256"),
        (header_of(claims, FOREIGN_KEY), "signature"),
        (honest[:-8] + "AAAAAAAA", "signature"),
        (honest.rpartition(".")[0] + ".", "signature"),
        (header_of(claims, FOREIGN_KEY, key_id="two"), "a key that"),
        (header_of(claims, key_id=None), "name the key"),
    ):
        with pytest.raises(TokenRefused) as refused:
            await verifier.verify(forged)
        assert detail in refused.value.detail


async def test_a_key_too_short_to_trust_is_no_key(issuer: Issuer, verifier: ActionsTokenVerifier) -> None:
    issuer.keys["short"] = SHORT_KEY
    with pytest.warns(Warning, match="key"):
        header = header_of(claims_of(issuer), SHORT_KEY, key_id="short")
    with pytest.raises(TokenRefused, match="401"):
        await verifier.verify(header)


async def test_a_new_key_is_found_and_an_unknown_one_fetched_once_in_ten_seconds(
    issuer: Issuer, http: aiohttp.ClientSession
) -> None:
    now = [100.0]
    keys = IssuerKeys(http, issuer.url, monotonic=lambda: now[0])
    assert await keys.get("one")
    assert await keys.get("two") is None
    issuer.keys["two"] = FOREIGN_KEY
    assert await keys.get("two") is None
    assert issuer.fetches == 1
    now[0] += 10
    found = await asyncio.gather(*(keys.get(key_id) for key_id in ("two", "three") * 50))
    assert found.count(None) == 50
    assert issuer.fetches == 2


async def test_concurrent_first_looks_share_one_fetch(issuer: Issuer, http: aiohttp.ClientSession) -> None:
    keys = IssuerKeys(http, issuer.url)
    assert all(await asyncio.gather(*(keys.get("one") for _ in range(100))))
    assert issuer.fetches == 1


async def test_a_withdrawn_key_is_forgotten_after_ten_minutes(issuer: Issuer, http: aiohttp.ClientSession) -> None:
    now = [100.0]
    keys = IssuerKeys(http, issuer.url, monotonic=lambda: now[0])
    assert await keys.get("one")
    issuer.keys = {"two": FOREIGN_KEY}
    now[0] += 601
    assert await keys.get("one") is None


async def test_known_keys_serve_on_while_the_issuer_is_down(issuer: Issuer, http: aiohttp.ClientSession) -> None:
    now = [100.0]
    keys = IssuerKeys(http, issuer.url, monotonic=lambda: now[0])
    assert await keys.get("one")
    issuer.status = 500
    now[0] += 3600
    assert await keys.get("one")
    with pytest.raises(IssuerUnreachable) as unreachable:
        await keys.get("two")
    assert (unreachable.value.status, unreachable.value.headers["Retry-After"]) == (503, "10")
    now[0] += 24 * 3600
    with pytest.raises(IssuerUnreachable):
        await keys.get("one")


@pytest.mark.parametrize(
    "discovery",
    [{"issuer": "https://evil.example"}, {"jwks_uri": "http://127.0.0.1:1/keys"}, {"jwks_uri": 5}],
)
async def test_a_discovery_document_that_points_elsewhere_is_not_followed(
    issuer: Issuer, verifier: ActionsTokenVerifier, discovery: dict[str, Any]
) -> None:
    issuer.discovery = discovery
    with pytest.raises(IssuerUnreachable):
        await verifier.verify(header_of(claims_of(issuer)))
    assert issuer.fetches == 0


async def test_whoever_waited_while_an_issuer_hung_does_not_wait_for_it_once_more(
    issuer: Issuer, http: aiohttp.ClientSession
) -> None:
    keys = IssuerKeys(http, issuer.url, monotonic=lambda: 100.0 + issuer.asked * 5)
    issuer.status = 504
    outcomes = await asyncio.gather(*(keys.get("one") for _ in range(20)), return_exceptions=True)
    assert all(isinstance(outcome, IssuerUnreachable) for outcome in outcomes)
    assert issuer.asked == 1


async def test_an_issuer_that_was_down_at_first_is_asked_again(issuer: Issuer, http: aiohttp.ClientSession) -> None:
    now = [100.0]
    keys = IssuerKeys(http, issuer.url, monotonic=lambda: now[0])
    issuer.status = 503
    for _ in range(3):
        with pytest.raises(IssuerUnreachable):
            await keys.get("one")
    issuer.status = 200
    now[0] += 1
    assert await keys.get("one")


async def test_an_issuer_without_tls_must_be_on_loopback(http: aiohttp.ClientSession) -> None:
    with pytest.raises(SettingsError, match="ZEKT_GITHUB_OIDC_ISSUER"):
        ActionsTokenVerifier(http, issuer="http://token.actions.githubusercontent.com")
    ActionsTokenVerifier(http, issuer="https://token.actions.githubusercontent.com")


async def test_verifying_uses_the_injected_clock(issuer: Issuer, http: aiohttp.ClientSession) -> None:
    late = ActionsTokenVerifier(http, issuer=issuer.url, clock=lambda: NOW + timedelta(seconds=361))
    with pytest.raises(TokenRefused, match="401"):
        await late.verify(header_of(claims_of(issuer)))
