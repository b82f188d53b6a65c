"""A refresh token works once: of two replicas on one store one renews a person's tokens, and both have the new pair."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from tests.ports import free_port
from zekt_common.adapters.embedded import OWN_TABLES, open_backend
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_views import SqliteViews
from zekt_common.auth.service_tokens import EmbeddedIssuer
from zekt_common.contracts.identity import TOKENS_USER
from zekt_common.ports import Views
from zekt_identity.github_oauth import GitHubOAuth, UserTokens
from zekt_identity.sealing import Sealer
from zekt_identity.user_tokens import CLAIM_LIFE, StoredTokens, UserTokenVault
from zekt_sandbox import GitHubSandbox
from zekt_sandbox.github.faults import Fault

from .conftest import Browser, MovableClock, until

OCTOCAT = 4_242
TOKEN_CALL = "/login/oauth/access_token"
ENDING_HOURS = 7.95
ENDS_SOON_S = 200
EACH_ASKS = 20
HELD_UP_S = 5.0
"""Long enough for a busy machine to do all that happens meanwhile."""


@dataclass
class Replicas:
    """Two vaults, each with a connection of its own to one file, and tokens in it that are about to end."""

    vaults: tuple[UserTokenVault, UserTokenVault]
    sandbox: GitHubSandbox
    clock: MovableClock
    before: str

    def slow_call(self, delay_s: float) -> Fault:
        """Have GitHub take its time, before it looks at the next renewal."""
        return self.sandbox.add_fault("slow", path=TOKEN_CALL, delay_s=delay_s)

    async def works(self, stored: StoredTokens) -> bool:
        token = stored.tokens.access_token
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{self.sandbox.url}/user", headers={"Authorization": f"Bearer {token}"}) as answer,
        ):
            return answer.status == 200


async def called(call: Fault) -> None:
    """Wait until GitHub has got the call."""

    async def is_taken() -> bool:
        return call.taken > 0

    await until(is_taken)


@asynccontextmanager
async def own_connection(data_dir: Path) -> AsyncIterator[Views]:
    """Open the file beside whoever has opened it, as another process does."""
    database = await SqliteDatabase.open(data_dir / "identity.db", OWN_TABLES)
    try:
        yield SqliteViews(database)
    finally:
        await database.close()


@pytest.fixture
async def replicas(sandbox: GitHubSandbox, tmp_path: Path) -> AsyncIterator[Replicas]:
    clock = MovableClock()
    async with (
        open_backend(tmp_path, "identity") as backend,
        own_connection(tmp_path) as another,
        aiohttp.ClientSession() as http,
    ):
        oauth = GitHubOAuth(
            http,
            web_url=sandbox.url,
            api_url=sandbox.url,
            client_id=sandbox.client_id,
            client_secret=sandbox.client_secret,
            clock=clock,
        )
        sealer = Sealer(backend.keys)
        first, second = (UserTokenVault(views, sealer, oauth, clock=clock) for views in (backend.views, another))
        issued = sandbox.mint_user_token("octocat")
        tokens = UserTokens(
            access_token=issued.value,
            expires_at=clock() + timedelta(hours=8),
            refresh_token=issued.refresh_value,
            refresh_expires_at=None,
        )
        await first.keep(OCTOCAT, OCTOCAT, StoredTokens(login="octocat", tokens=tokens))
        clock.advance(hours=ENDING_HOURS)
        yield Replicas((first, second), sandbox, clock, issued.value)


async def test_two_replicas_renew_once_and_both_have_the_new_pair(replicas: Replicas) -> None:
    calls = replicas.sandbox.add_fault("slow", path=TOKEN_CALL, count=None, delay_s=0.3)
    asked = [vault.usable(OCTOCAT) for vault in replicas.vaults for _ in range(EACH_ASKS)]
    got = {stored.tokens.access_token: stored for stored in await asyncio.gather(*asked)}
    assert (len(got), calls.taken) == (1, 1)
    [stored] = got.values()
    assert stored.tokens.access_token != replicas.before
    assert await replicas.works(stored)


async def test_a_claim_that_expires_while_its_holder_waits_for_github_costs_nobody_the_sign_in(
    replicas: Replicas,
) -> None:
    holder, other = replicas.vaults
    call = replicas.slow_call(HELD_UP_S)
    waiting = asyncio.create_task(holder.usable(OCTOCAT))
    await called(call)
    replicas.clock.advance(seconds=CLAIM_LIFE.total_seconds())
    taken_over = await other.usable(OCTOCAT)
    assert not waiting.done()
    assert (await waiting).tokens == taken_over.tokens, "GitHub refused the pair that was spent meanwhile"
    assert await replicas.works(taken_over)
    assert (await other.stored(OCTOCAT)).tokens == taken_over.tokens


async def test_a_holder_that_died_is_succeeded_once_its_claim_has_expired(replicas: Replicas) -> None:
    holder, other = replicas.vaults
    call = replicas.slow_call(HELD_UP_S)
    dying = asyncio.create_task(holder._renewed(OCTOCAT))  # noqa: SLF001 - what a process takes along when it dies
    await called(call)
    dying.cancel()
    waiting = asyncio.create_task(other.usable(OCTOCAT))
    succeeded, _ = await asyncio.wait({waiting}, timeout=0.5)
    assert not succeeded, "the claim counts as long as it says"
    replicas.clock.advance(seconds=CLAIM_LIFE.total_seconds())
    assert await replicas.works(await waiting)


@asynccontextmanager
async def process(environment: dict[str, str]) -> AsyncIterator[str]:
    """Run identity as a process and yield its internal URL."""
    started: Process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "zekt_identity", env=environment, stdout=PIPE
    )
    assert started.stdout is not None
    try:
        ready = (await asyncio.wait_for(started.stdout.readline(), 60)).decode()
        yield ready.rpartition("internal ")[2].strip().rstrip(")")
    finally:
        started.kill()
        await started.wait()


def environment(sandbox: GitHubSandbox, directory: Path, public_url: str) -> dict[str, str]:
    key_file = directory / "app.pem"
    key_file.write_text(sandbox.private_key_pem)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ZEKT_", "OTEL_"))}
    return inherited | {
        "ZEKT_INTERNAL_PORT": "0",
        "ZEKT_PUBLIC_URL": public_url,
        "ZEKT_DATA_DIR": str(directory / "zekt"),
        "ZEKT_GITHUB_API_URL": sandbox.url,
        "ZEKT_GITHUB_APP_ID": str(sandbox.app_id),
        "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE": str(key_file),
        "ZEKT_GITHUB_OAUTH_CLIENT_ID": sandbox.client_id,
        "ZEKT_GITHUB_OAUTH_CLIENT_SECRET": sandbox.client_secret,
    }


@pytest.mark.slow
async def test_two_processes_of_one_data_directory_renew_once(sandbox: GitHubSandbox, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    sandbox.callback_urls = [f"{url}/auth/callback"]
    shared = environment(sandbox, tmp_path, url)
    async with (
        process(shared | {"ZEKT_PORT": str(port)}) as first,
        process(shared | {"ZEKT_PORT": "0"}) as second,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        sandbox.set_user_token_life(life_s=ENDS_SOON_S)
        await Browser(http, url).sign_in()
        sandbox.set_user_token_life()
        before = sandbox.credentials()
        calls = sandbox.add_fault("slow", path=TOKEN_CALL, count=None, delay_s=0.5)
        token = EmbeddedIssuer(tmp_path / "zekt").mint(service="router", roles=[TOKENS_USER])

        async def ask(internal_url: str) -> str:
            async with http.post(
                f"{internal_url}/internal/tokens/user",
                json={"account_id": OCTOCAT, "purpose": "list repositories"},
                headers={"Authorization": f"Bearer {token}"},
            ) as answer:
                assert answer.status == 200, await answer.text()
                given: str = (await answer.json())["token"]
                return given

        given = set(await asyncio.gather(*(ask(one) for one in (first, second) for _ in range(EACH_ASKS))))
    assert (len(given), calls.taken) == (1, 1)
    assert not given & before
