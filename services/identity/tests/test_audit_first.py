"""What cannot be noted does not happen: no token is answered, and GitHub is not called for a person."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from zekt_common.contracts.identity import TOKENS_INSTALLATION, TOKENS_USER
from zekt_identity.audit import TokenGiven
from zekt_sandbox import GitHubSandbox

from .conftest import Answer, Browser, Running, identity_at, until

INSTALLATION = {"repository": "beta/consumer", "permissions": {"contents": "write"}, "purpose": "dispatch"}
USER = {"account_id": 4_242, "purpose": "dispatch"}
NOT_STORED = (503, "storage_unusable")
NOTED_WITHIN_S = 0.5
"""Noting takes milliseconds, so that what is not answered by then is being waited for."""


@pytest.fixture
async def identity(sandbox: GitHubSandbox, tmp_path: Path) -> AsyncIterator[Running]:
    sandbox.set_permission("beta/consumer", "octocat", "admin")
    async with identity_at(sandbox, tmp_path, webhook_master_keys={1: b"m" * 32}, reconcile_after_s=0.0) as running:
        await running.hosted.until_ready()
        yield running


@pytest.fixture
async def octocat(identity: Running) -> Browser:
    """Signed in, and known to administer a repository that the App is installed in."""
    browser, place = identity.browser(), place_of(identity.sandbox)
    await browser.sign_in()

    async def is_known() -> bool:
        return (await browser.call("GET", place)).status == 200

    await until(is_known, within_s=30)
    return browser


def place_of(sandbox: GitHubSandbox) -> str:
    return f"/api/account/repositories/{sandbox.update_repository('beta/consumer').id}"


async def look_up(identity: Running, kind: str, asked: dict[str, Any]) -> Answer:
    token = identity.issuer.mint(service="router", roles=[TOKENS_INSTALLATION, TOKENS_USER])
    url, headers = f"{identity.hosted.internal_url}/internal/tokens/{kind}", {"Authorization": f"Bearer {token}"}
    async with identity.http.post(url, json=asked, headers=headers) as response:
        answer = Answer(response.status, dict(response.headers), await response.json())
        if answer.status != 200:
            assert not [secret for secret in identity.sandbox.credentials() if secret in await response.text()]
        return answer


@contextmanager
def store_of(identity: Running) -> Iterator[sqlite3.Connection]:
    """The file that identity's events are in."""
    with closing(sqlite3.connect(identity.data_dir / "identity.db", isolation_level=None)) as connection:
        yield connection


@contextmanager
def nothing_noted(identity: Running) -> Iterator[None]:
    """Have the store fail when it is to take up that a token is given."""
    with store_of(identity) as store:
        given = f"new.body LIKE '%{TokenGiven.TYPE}%'"
        store.execute(
            f"CREATE TRIGGER full BEFORE INSERT ON events WHEN {given} BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        yield
        store.execute("DROP TRIGGER full")


@pytest.mark.parametrize(("kind", "asked"), [("installation", INSTALLATION), ("user", USER)])
async def test_a_token_that_cannot_be_noted_is_not_answered(
    identity: Running, kind: str, asked: dict[str, Any]
) -> None:
    await identity.browser().sign_in()
    with nothing_noted(identity):
        assert (await look_up(identity, kind, asked)).told == NOT_STORED
        assert (await look_up(identity, kind, asked)).told == NOT_STORED, "nor from the cache"
    assert (await look_up(identity, kind, asked)).status == 200
    [given] = await identity.events(TokenGiven)
    assert (given.kind, given.actor, given.is_new) == (kind, "router", True)


@pytest.mark.parametrize(("kind", "asked"), [("installation", INSTALLATION), ("user", USER)])
async def test_a_token_waits_until_it_is_noted(identity: Running, kind: str, asked: dict[str, Any]) -> None:
    await identity.browser().sign_in()
    with store_of(identity) as store:
        store.execute("BEGIN IMMEDIATE")
        asking = asyncio.create_task(look_up(identity, kind, asked))
        answered, _ = await asyncio.wait({asking}, timeout=NOTED_WITHIN_S)
        assert not answered
        store.execute("COMMIT")
    assert (await asking).status == 200
    assert len(await identity.events(TokenGiven)) == 1


async def test_what_cannot_be_noted_is_not_done_for_a_person(identity: Running, octocat: Browser) -> None:
    place = place_of(identity.sandbox)
    calls = [
        identity.sandbox.add_fault("slow", path=path, count=None, delay_s=0)
        for path in ("/user/*", "/repositories/*", "/repos/*")
    ]
    with nothing_noted(identity):
        for method, path in (
            ("GET", "/api/account/installations"),
            ("GET", "/api/account/installations/72/repositories"),
            ("GET", f"{place}/workflows"),
            ("PUT", f"{place}/hook"),
            ("DELETE", f"{place}/hook"),
            ("GET", "/auth/setup?installation_id=72"),
        ):
            assert (await octocat.call(method, path)).told == NOT_STORED, path
        assert [call.taken for call in calls] == [0, 0, 0]
    assert identity.sandbox.repository_hooks("beta/consumer") == []
    assert (await octocat.call("PUT", f"{place}/hook")).status == 200
    assert sum(call.taken for call in calls) > 0
