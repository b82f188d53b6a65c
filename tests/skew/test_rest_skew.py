"""Requests to identity and its answers across one minor version: docs/upgrade.md says what a change has to keep to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.skew.rest_examples import ANSWERS, REQUESTS, REST, Answer, Request, rest_file
from zekt_common.auth.service_tokens import EmbeddedIssuer, EmbeddedTokens
from zekt_common.auth.session_keys import FetchedSessionKeys
from zekt_common.contracts.identity import (
    INSTALLATION_TOKENS_PATH,
    TOKENS_INSTALLATION,
    USER_TOKENS_PATH,
    InstallationToken,
    InstallationTokenRequest,
)
from zekt_common.contracts.identity_sessions import SESSION_KEYS_PATH
from zekt_common.kit.identity_client import IdentityClient, TokensRefused
from zekt_dispatcher.tokens import DispatchTokens
from zekt_router.directory import InstalledNames

UNKNOWN = {"of_a_later_version": {"nested": [1, "two", None]}}
EACH_REQUEST = pytest.mark.parametrize("name", REQUESTS)
EACH_ANSWER = pytest.mark.parametrize("name", ANSWERS)


def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(rest_file(name).read_bytes())
    return found


def wire(body: Request | Answer) -> dict[str, Any]:
    sent: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(body))
    return sent


@dataclass
class Identity:
    """Another version's identity: it answers as told, and keeps what it was asked."""

    answer: dict[str, Any]
    status: int = 200
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        content = await request.read()
        self.asked.append((f"{request.method} {request.path}", msgspec.json.decode(content) if content else {}))
        return web.Response(body=msgspec.json.encode(self.answer), status=self.status, content_type="application/json")


@asynccontextmanager
async def serving(identity: Identity) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", identity.handle)
    async with TestServer(app, host="127.0.0.1") as server, aiohttp.ClientSession() as http:
        yield str(server.make_url("/")).rstrip("/"), http


@pytest.fixture
def tokens(tmp_path: Any) -> EmbeddedTokens:
    return EmbeddedTokens(EmbeddedIssuer(tmp_path), service="dispatcher", roles=[TOKENS_INSTALLATION])


def test_there_is_an_example_of_every_golden_file_and_the_paths_are_what_they_were() -> None:
    assert {path.stem for path in REST.glob("*.json")} == {*REQUESTS, *ANSWERS}
    assert (INSTALLATION_TOKENS_PATH, USER_TOKENS_PATH, SESSION_KEYS_PATH) == (
        "/internal/tokens/installation",
        "/internal/tokens/user",
        "/internal/keys",
    )


@EACH_REQUEST
def test_what_an_older_caller_asks_is_understood(name: str) -> None:
    example = REQUESTS[name]
    assert msgspec.convert(golden(name), type(example)) == example


def test_a_caller_that_still_sends_what_it_leaves_unset_is_understood() -> None:
    """So callers did before they sent only what they set."""
    unset = {"repository": None, "rejected_sha256": None}
    name = "installation-token-request.by-ids"
    assert msgspec.convert(golden(name) | unset, InstallationTokenRequest) == REQUESTS[name]


@EACH_REQUEST
def test_a_caller_sends_an_older_identity_nothing_that_it_does_not_know(name: str) -> None:
    assert wire(REQUESTS[name]) == golden(name)


def test_a_member_that_is_new_is_not_sent_until_a_caller_sets_it() -> None:
    class Later(InstallationTokenRequest, frozen=True, kw_only=True):
        of_a_later_version: str | None = None

    request = REQUESTS["installation-token-request.by-ids"]
    later = msgspec.convert(wire(request), Later)
    assert msgspec.json.decode(msgspec.json.encode(later)) == wire(request)


@EACH_REQUEST
def test_a_member_that_identity_does_not_know_is_refused_and_not_passed_over(name: str) -> None:
    """It may have narrowed what is asked for, so that passing over it would give out more."""
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert(golden(name) | UNKNOWN, type(REQUESTS[name]))


async def test_what_the_services_really_ask_is_what_the_golden_files_say(tokens: EmbeddedTokens) -> None:
    identity = Identity(golden("installation-token"))
    async with serving(identity) as (url, http):
        client = IdentityClient(http, url, tokens)
        dispatching = DispatchTokens(client)
        dispatching.reject(72, 22, await dispatching.token(72, 22))
        await dispatching.token(72, 22)
        await InstalledNames(client, http, url).repository("beta/consumer")
    asked = [set(body) for _, body in identity.asked]
    assert {where for where, _ in identity.asked} == {f"POST {INSTALLATION_TOKENS_PATH}"}
    kinds = ("by-ids", "rejected", "by-name")
    assert asked == [set(golden(f"installation-token-request.{kind}")) for kind in kinds]


@EACH_ANSWER
def test_what_an_older_identity_answers_is_read(name: str) -> None:
    example = ANSWERS[name]
    assert msgspec.json.decode(rest_file(name).read_bytes(), type=type(example)) == example


@EACH_ANSWER
def test_what_an_older_caller_needs_is_still_answered(name: str) -> None:
    sent, needed = wire(ANSWERS[name]), golden(name)
    assert {member: sent.get(member) for member in needed} == needed


async def test_what_a_newer_identity_adds_to_a_token_or_a_refusal_is_passed_over(tokens: EmbeddedTokens) -> None:
    request = REQUESTS["installation-token-request.by-ids"]
    assert isinstance(request, InstallationTokenRequest)
    identity = Identity(golden("installation-token") | UNKNOWN)
    async with serving(identity) as (url, http):
        client = IdentityClient(http, url, tokens)
        token: InstallationToken = await client.token(request)
        assert token == ANSWERS["installation-token"]
        identity.status = 404
        identity.answer = {"error": "installation_not_found", "detail": "Ask the owner."} | UNKNOWN
        with pytest.raises(TokensRefused) as refused:
            await client.token(request)
        assert (refused.value.code, refused.value.detail) == ("installation_not_found", "Ask the owner.")


async def test_what_a_newer_identity_adds_to_its_keys_is_passed_over() -> None:
    answer = golden("session-key-set") | UNKNOWN
    answer["keys"] = [key | UNKNOWN for key in answer["keys"]]
    identity = Identity(answer)
    async with serving(identity) as (url, http):
        assert await FetchedSessionKeys(http, url).key_set("k1") == ANSWERS["session-key-set"]
    assert identity.asked == [(f"GET {SESSION_KEYS_PATH}", {})]
