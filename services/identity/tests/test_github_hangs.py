"""A GitHub that takes calls and answers none: whoever asks is told in time, and whoever waits for a slot too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from zekt_common.adapters.embedded import open_backend
from zekt_identity.account import key_of
from zekt_identity.auditor import Auditor
from zekt_identity.github_app import GitHubApp, GitHubUnavailable
from zekt_identity.github_oauth import GitHubOAuth, UserTokens
from zekt_identity.github_person import SLOTS_OF_EACH, GitHubAsPerson
from zekt_identity.github_slots import SLOTS, Slots
from zekt_identity.sealing import Sealer
from zekt_identity.user_tokens import StoredTokens, UserTokenVault
from zekt_sandbox.github.state import generate_private_key

from .conftest import ledger_over

TIMEOUT_S = 0.05
TIMED_OUT = "cannot be reached: TimeoutError"
LASTING = UserTokens(access_token="ghu_x", expires_at=None, refresh_token=None, refresh_expires_at=None)
OTHERS = UserTokens(access_token="ghu_y", expires_at=None, refresh_token=None, refresh_expires_at=None)


@pytest.fixture
async def hanging() -> AsyncIterator[str]:
    """Give the URL of a server that takes connections and never writes a byte."""
    over = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        yield f"http://{host}:{port}"
        over.set()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@asynccontextmanager
async def person_at(
    http: aiohttp.ClientSession, url: str, data_dir: Path, *, timeout_s: float = 30.0
) -> AsyncIterator[GitHubAsPerson]:
    """Give the calls of accounts 1 and 2, whose tokens do not end."""
    async with open_backend(data_dir, "identity") as backend, ledger_over(backend) as ledger:
        oauth = GitHubOAuth(http, web_url=url, api_url=url, client_id="id", client_secret="secret")
        vault = UserTokenVault(backend.views, Sealer(backend.keys), oauth)
        await vault.keep(1, key_of(1, 1), StoredTokens(login="octocat", tokens=LASTING))
        await vault.keep(2, key_of(2, 1), StoredTokens(login="hubot", tokens=OTHERS))
        yield GitHubAsPerson(http, vault, Auditor(ledger), api_url=url, timeout_s=timeout_s)


async def test_the_apps_own_calls_end_in_time(hanging: str, http: aiohttp.ClientSession) -> None:
    key = generate_private_key().encode()
    app = GitHubApp(http, api_url=hanging, app_id=1, private_key_pem=key, timeout_s=TIMEOUT_S)
    with pytest.raises(GitHubUnavailable, match=TIMED_OUT):
        await app.check_credentials()


async def test_calls_of_a_sign_in_end_in_time(hanging: str, http: aiohttp.ClientSession) -> None:
    oauth = GitHubOAuth(
        http, web_url=hanging, api_url=hanging, client_id="id", client_secret="secret", timeout_s=TIMEOUT_S
    )
    for call in (oauth.exchange("c", verifier="v", redirect_uri="r"), oauth.person("ghu_x"), oauth.revoke("ghu_x")):
        with pytest.raises(GitHubUnavailable, match=TIMED_OUT):
            await call


async def test_calls_for_a_person_end_in_time(hanging: str, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with person_at(http, hanging, tmp_path, timeout_s=TIMEOUT_S) as github:
        with pytest.raises(GitHubUnavailable, match=TIMED_OUT):
            await github.send(1, "GET", "/user", purpose="test")


async def test_who_finds_no_slot_free_is_told_and_github_is_not_blamed(
    hanging: str, http: aiohttp.ClientSession
) -> None:
    oauth = GitHubOAuth(
        http,
        web_url=hanging,
        api_url=hanging,
        client_id="id",
        client_secret="secret",
        slots=Slots(1, within_s=TIMEOUT_S),
    )
    under_way = asyncio.create_task(oauth.person("ghu_x"))
    await asyncio.sleep(0)
    for _ in range(5):
        with pytest.raises(GitHubUnavailable, match="Too many calls to GitHub are under way"):
            await oauth.person("ghu_y")
    under_way.cancel()
    await asyncio.gather(under_way, return_exceptions=True)


async def test_one_person_whose_calls_hang_leaves_slots_to_the_others(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    over, calls = asyncio.Event(), 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        if request.headers["Authorization"].endswith(LASTING.access_token):
            await over.wait()
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/user", answer)
    async with (
        TestServer(app, host="127.0.0.1") as server,
        person_at(http, str(server.make_url("")).rstrip("/"), tmp_path) as github,
    ):
        hanging = [asyncio.create_task(github.send(1, "GET", "/user", purpose="test")) for _ in range(2 * SLOTS)]
        while calls < SLOTS_OF_EACH:  # noqa: ASYNC110 - the calls are on their way
            await asyncio.sleep(0.001)
        assert await github.send(2, "GET", "/user", purpose="test") == b"{}"
        assert calls == SLOTS_OF_EACH + 1
        over.set()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_a_slot_is_free_again_once_its_call_has_failed() -> None:
    slots = Slots(1, within_s=TIMEOUT_S)
    for _ in range(3):
        with pytest.raises(ValueError, match="failed"):
            async with slots.one():
                raise ValueError("failed")
