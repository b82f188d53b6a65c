from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from zekt_dispatcher.github import GitHub
from zekt_dispatcher.outcomes import InDoubt, NotTaken, Outcome, Taken
from zekt_sandbox import GitHubSandbox, Limits

BODY = b'{"event_type":"deployment","client_payload":{"zekt":{}}}'
TARGET = "beta/consumer"


@dataclass
class Called:
    sandbox: GitHubSandbox
    http: aiohttp.ClientSession
    token: str

    async def dispatch(self, body: bytes = BODY, *, target: str = TARGET, timeout_s: float = 5) -> Outcome:
        return await GitHub(self.http, self.sandbox.url).dispatch(target, body, self.token, timeout_s=timeout_s)


@pytest.fixture
async def called(app_key: str) -> AsyncIterator[Called]:
    async with (
        GitHubSandbox.start(limits=Limits(enabled=False), private_key_pem=app_key) as sandbox,
        aiohttp.ClientSession() as http,
    ):
        sandbox.create_repository(TARGET)
        installation = sandbox.create_installation("beta")
        yield Called(sandbox, http, await installation_token(sandbox, http, installation.id))


async def installation_token(sandbox: GitHubSandbox, http: aiohttp.ClientSession, installation_id: int) -> str:
    url = f"{sandbox.url}/app/installations/{installation_id}/access_tokens"
    async with http.post(url, headers={"Authorization": f"Bearer {sandbox.app_jwt()}"}) as response:
        token: str = (await response.json())["token"]
        return token


async def test_a_dispatch_arrives_as_it_was_encoded(called: Called) -> None:
    assert await called.dispatch() == Taken(remaining=4999)
    (received,) = called.sandbox.dispatches()
    assert received.body == BODY
    assert received.repository == TARGET
    assert received.headers["Content-Type"] == "application/json; charset=utf-8"


async def test_a_revoked_token_is_reported_as_such(called: Called) -> None:
    called.sandbox.revoke_tokens()
    outcome = await called.dispatch()
    assert isinstance(outcome, NotTaken)
    assert outcome.token_rejected


@pytest.mark.parametrize(
    ("body", "target", "category"),
    [
        (BODY, "beta/unknown", "gone"),
        (b'{"client_payload":{}}', TARGET, "invalid"),
        (b"nonsense", TARGET, "invalid"),
        (BODY, "beta/consumer/../other", "invalid"),
        (BODY, "../consumer", "invalid"),
        (BODY, "beta/..", "invalid"),
        (BODY, "beta/.", "invalid"),
        (BODY, "beta/with..dots", "gone"),
        (BODY, "https://elsewhere.example/beta/consumer", "invalid"),
    ],
)
async def test_a_dispatch_that_can_never_pass_is_refused(
    called: Called, body: bytes, target: str, category: str
) -> None:
    outcome = await called.dispatch(body, target=target)
    assert isinstance(outcome, NotTaken)
    assert (outcome.category, outcome.final) == (category, True)


async def test_a_missing_permission_is_refused(called: Called) -> None:
    called.sandbox.create_repository("delta/consumer")
    installation = called.sandbox.create_installation("delta", permissions={"actions": "read"})
    called.token = await installation_token(called.sandbox, called.http, installation.id)
    outcome = await called.dispatch(target="delta/consumer")
    assert isinstance(outcome, NotTaken)
    assert (outcome.category, outcome.status, outcome.final) == ("auth", 403, True)


async def test_a_secondary_limit_says_for_how_long(called: Called) -> None:
    called.sandbox.add_fault("secondary", retry_after_s=42)
    outcome = await called.dispatch()
    assert isinstance(outcome, NotTaken)
    assert (outcome.limited, outcome.not_before_s) == (True, 42)


@pytest.mark.parametrize(("status", "kind"), [(500, InDoubt), (503, InDoubt), (502, InDoubt), (504, InDoubt)])
async def test_a_server_error_is_no_refusal(called: Called, status: int, kind: type[Outcome]) -> None:
    called.sandbox.add_fault("error", status=status)
    outcome = await called.dispatch()
    assert isinstance(outcome, kind)


@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
async def test_a_dropped_connection_leaves_it_in_doubt(called: Called, fault: str) -> None:
    called.sandbox.add_fault(fault)
    assert isinstance(await called.dispatch(), InDoubt)


async def test_a_late_answer_leaves_it_in_doubt(called: Called) -> None:
    called.sandbox.add_fault("slow", delay_s=1)
    outcome = await called.dispatch(timeout_s=0.1)
    assert outcome == InDoubt(category="timeout", reason="GitHub did not answer in time (TimeoutError)")


async def test_nobody_listening_is_a_failure(called: Called) -> None:
    github = GitHub(called.http, "http://127.0.0.1:1")
    outcome = await github.dispatch(TARGET, BODY, "token", timeout_s=2)
    assert isinstance(outcome, NotTaken)
    assert outcome.category == "network"


@asynccontextmanager
async def answering(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[GitHub]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        yield GitHub(http, str(server.make_url("/api/v3")))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_renamed_repository_is_followed_with_the_same_post(status: int) -> None:
    seen: list[tuple[str, str, bytes]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, await request.read()))
        if len(seen) == 1:
            return web.Response(status=status, headers={"Location": "/repositories/5/dispatches"})
        return web.Response(status=204)

    async with answering(handler) as github:
        assert await github.dispatch(TARGET, BODY, "token", timeout_s=60) == Taken()
    assert seen == [
        ("POST", "/api/v3/repos/beta/consumer/dispatches", BODY),
        ("POST", "/repositories/5/dispatches", BODY),
    ]


async def test_no_redirect_takes_the_token_elsewhere() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "http://127.0.0.2:1/steal"})

    async with answering(handler) as github:
        outcome = await github.dispatch(TARGET, BODY, "token", timeout_s=60)
    assert isinstance(outcome, NotTaken)
    assert outcome.final


@pytest.mark.parametrize(
    ("status", "body", "content_type"),
    [
        (520, "<html>", "text/html"),
        (503, "{", "application/json"),
        (422, "null", "application/json"),
        (422, "{}", "application/json"),
        (404, "[]", "application/json"),
        (204, "", "text/plain"),
    ],
)
async def test_no_answer_is_odd_enough_to_be_lost(status: int, body: str, content_type: str) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body, content_type=content_type)

    async with answering(handler) as github:
        outcome = await github.dispatch(TARGET, BODY, "token", timeout_s=60)
    if status == 204:
        assert isinstance(outcome, Taken)
    else:
        assert not isinstance(outcome, Taken)
        assert outcome.reason.startswith(str(status))
