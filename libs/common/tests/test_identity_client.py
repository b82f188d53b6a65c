from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from zekt_common.auth.service_tokens import ServiceTokenUnavailable
from zekt_common.contracts.identity import INSTALLATION_TOKENS_PATH, InstallationToken, InstallationTokenRequest
from zekt_common.kit.identity_client import IdentityClient, TokensRefused, TokensUnavailable
from zekt_common.telemetry.tracing import span

ASKED = InstallationTokenRequest(
    installation_id=72, repository_ids=[1], permissions={"contents": "write"}, purpose="dispatch"
)
TOKEN = InstallationToken(
    token="ghs_x",
    expires_at=datetime(2026, 5, 1, tzinfo=UTC),
    installation_id=72,
    account_id=7,
    repository_ids=[1],
)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Identity:
    """An identity that answers as told and remembers what it was asked."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status, body=self.body, headers=self.headers, content_type="application/json")


@dataclass
class Minted:
    """Gives the service token `minted`, or fails as told."""

    failure: ServiceTokenUnavailable | None = None

    async def token(self) -> str:
        if self.failure is not None:
            raise self.failure
        return "minted"


@pytest.fixture
async def identity() -> AsyncIterator[Identity]:
    served = Identity(body=msgspec.json.encode(TOKEN))
    app = web.Application()
    app.router.add_post(INSTALLATION_TOKENS_PATH, served.answer)
    async with TestServer(app, host="127.0.0.1") as server:
        served.url = str(server.make_url("/"))
        yield served


@pytest.fixture
async def client(identity: Identity) -> AsyncIterator[IdentityClient]:
    async with aiohttp.ClientSession() as http:
        yield IdentityClient(http, identity.url, Minted())


async def test_the_request_carries_a_service_token_and_the_trace(identity: Identity, client: IdentityClient) -> None:
    with span("dispatch", PARENT):
        assert await client.token(ASKED) == TOKEN
    [(headers, body)] = identity.requests
    assert headers["Authorization"] == "Bearer minted"
    assert headers["traceparent"].startswith(PARENT[:35])
    assert msgspec.json.decode(body, type=InstallationTokenRequest) == ASKED


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_refusal_keeps_its_code(identity: Identity, client: IdentityClient, status: int) -> None:
    identity.status, identity.body = status, b'{"error": "installation_not_found", "detail": "Ask the owner."}'
    with pytest.raises(TokensRefused) as refused:
        await client.token(ASKED)
    assert (refused.value.code, refused.value.detail) == ("installation_not_found", "Ask the owner.")


@pytest.mark.parametrize(
    ("status", "headers", "retry_after_s"),
    [
        (503, {"Retry-After": "37"}, 37),
        (503, {}, 5),
        (500, {"Retry-After": "soon"}, 5),
        (503, {"Retry-After": "nan"}, 5),
        (503, {"Retry-After": "1e9"}, 3600),
        (503, {"Retry-After": "-4"}, 0),
        (401, {}, 5),
        (403, {}, 5),
        (404, {}, 5),
        (429, {"Retry-After": "2"}, 2),
    ],
)
async def test_what_may_pass_is_worth_another_try(
    identity: Identity, client: IdentityClient, status: int, headers: dict[str, str], retry_after_s: float
) -> None:
    identity.status, identity.headers, identity.body = status, headers, b'{"error": "x"}'
    with pytest.raises(TokensUnavailable) as unavailable:
        await client.token(ASKED)
    assert unavailable.value.retry_after_s == retry_after_s


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"token": 5}'])
async def test_an_answer_that_is_no_token_is_worth_another_try(
    identity: Identity, client: IdentityClient, body: bytes
) -> None:
    identity.body = body
    with pytest.raises(TokensUnavailable):
        await client.token(ASKED)


async def test_nobody_listening_is_worth_another_try(identity: Identity) -> None:
    async with aiohttp.ClientSession() as http:
        client = IdentityClient(http, "http://127.0.0.1:1", Minted())
        with pytest.raises(TokensUnavailable, match="cannot be reached"):
            await client.token(ASKED)
    assert identity.requests == []


async def test_without_a_service_token_identity_is_not_asked(identity: Identity) -> None:
    away = Minted(ServiceTokenUnavailable("Entra ID cannot be reached (ZEKT_ENTRA_AUTHORITY)", retry_after_s=17))
    async with aiohttp.ClientSession() as http:
        with pytest.raises(TokensUnavailable, match="its log says why") as unavailable:
            await IdentityClient(http, identity.url, away).token(ASKED)
    assert unavailable.value.retry_after_s == 17
    assert "Entra" not in str(unavailable.value), "whoever waits for a delivery reads this, and need not know"
    assert identity.requests == []


def test_a_token_is_never_shown_by_its_repr() -> None:
    shown: list[Any] = [TOKEN]
    assert "ghs_x" not in repr(shown)
