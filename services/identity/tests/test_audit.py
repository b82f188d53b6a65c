"""Who did what, when, from where: each token given out, each refusal, and every account's own history."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.contracts.identity import InstallationTokenRequest
from zekt_common.kit.account_audit import audit_of
from zekt_common.kit.identity_client import TokensRefused
from zekt_common.kit.projector import Projector
from zekt_identity.audit import NOBODY, AccessRefused, TokenGiven
from zekt_identity.auditor import REFUSALS_PER_MINUTE, Auditor
from zekt_identity.ledger import Ledger

from .conftest import Browser, MovableClock, Running

FROM_HERE = "127.0.0.0/24"


def asked(purpose: str = "dispatch", repository: str = "beta/consumer") -> InstallationTokenRequest:
    return InstallationTokenRequest(repository=repository, permissions={"contents": "write"}, purpose=purpose)


async def history(browser: Browser, wanted: int) -> list[dict[str, Any]]:
    """The account's audit once it shows so many entries."""
    async with asyncio.timeout(60):
        while True:
            entries: list[dict[str, Any]] = (await browser.call("GET", "/api/audit")).body["entries"]
            if len(entries) >= wanted:
                return entries
            await asyncio.sleep(0.01)


async def test_a_token_is_noted_before_it_is_answered(identity: Running) -> None:
    token = await identity.client.token(asked())
    [given] = await identity.events(TokenGiven)
    assert (given.actor, given.purpose, given.origin, given.is_new) == ("test", "dispatch", FROM_HERE, True)
    assert (given.installation_id, given.repository_ids) == (72, tuple(token.repository_ids))
    assert given.account_id == token.account_id


async def test_answers_from_the_cache_are_noted_once_for_each_caller_purpose_and_minute(identity: Running) -> None:
    identity.clock.now = identity.clock.now.replace(second=1)
    await identity.client.token(asked())
    for _ in range(3):
        await asyncio.gather(*(identity.client.token(asked()) for _ in range(10)))
    assert [given.is_new for given in await identity.events(TokenGiven)] == [True, False]
    await identity.client.token(asked("catalog"))
    await identity.client.token(asked("catalog"))
    identity.clock.advance(minutes=1)
    await identity.client.token(asked())
    given = [(given.purpose, given.is_new) for given in await identity.events(TokenGiven)]
    assert given[2:] == [("catalog", True), ("catalog", False), ("dispatch", False)]


async def test_many_who_ask_at_once_share_one_token_and_one_note(identity: Running) -> None:
    tokens = await asyncio.gather(*(identity.client.token(asked()) for _ in range(1000)))
    assert len({token.token for token in tokens}) == 1
    given = [given.is_new for given in await identity.events(TokenGiven)]
    assert given in ([True], [True, False]), "a caller that comes after the answer is one of the cache's"


async def given_by(backend: Backend, auditor: Auditor, *tokens: str) -> list[bool]:
    """Note that these tokens are used, and return of all that is stored whether it was for the first time."""
    for token in tokens:
        await auditor.token_given(
            caller="dispatcher", origin=FROM_HERE, kind="installation", purpose="dispatch", token=token, account_id=1
        )
    [feed] = await backend.store.feeds()
    stored = (await backend.store.read_feed(feed)).events
    return [msgspec.json.decode(event.data, type=TokenGiven).is_new for event in stored]


async def test_a_token_whose_first_use_is_forgotten_or_was_anothers_is_noted_as_used_again(tmp_path: Path) -> None:
    clock = MovableClock()
    async with open_backend(tmp_path, "identity") as backend:
        ledger = Ledger(backend.store, Projector(backend.store, backend.views, name="identity", project=lambda _: []))
        assert await given_by(backend, Auditor(ledger, clock=clock), "a") == [True]
        clock.advance(minutes=1)
        assert await given_by(backend, Auditor(ledger, clock=clock), "a", "a") == [True, False]


async def test_a_service_that_asks_outside_the_installation_is_noted(identity: Running) -> None:
    with pytest.raises(TokensRefused):
        await identity.client.token(asked(repository="beta/other"))
    [noted] = await identity.events(AccessRefused)
    assert (noted.route, noted.error) == ("POST /internal/tokens/installation", "installation_not_found")


async def test_an_account_sees_its_own_history_and_nobody_elses(identity: Running) -> None:
    mine, theirs = identity.browser(), identity.browser()
    await mine.sign_in("octocat")
    await theirs.sign_in("hubot")
    identity.clock.advance(seconds=1)
    await mine.call("POST", "/auth/logout")
    identity.clock.advance(seconds=1)
    await mine.sign_in("octocat")
    entries = await history(mine, 4)
    assert [entry["action"] for entry in entries] == [
        "session.begun",
        "session.ended",
        "session.begun",
        "account.person-linked",
    ]
    assert {entry["actor"] for entry in entries} == {"4242"}
    assert {entry["origin"] for entry in entries} == {FROM_HERE}
    assert [entry["action"] for entry in await history(theirs, 2)] == ["session.begun", "account.person-linked"]


async def test_what_concerns_no_account_is_in_no_accounts_audit(identity: Running) -> None:
    """Anybody may be refused as often as they like, and nobody would ever read it there."""
    await identity.browser().call("GET", "/api/account")
    mine = identity.browser()
    await mine.sign_in()
    await history(mine, 2)
    assert ("GET /api/account", "token_refused", 0) in await identity.refusals()
    async with open_backend(identity.data_dir, "identity") as backend:
        assert await backend.views.listing(audit_of(NOBODY)) == []
        assert len(await backend.views.listing(audit_of(4_242))) == 2


async def test_a_history_is_read_page_by_page(identity: Running) -> None:
    browser = identity.browser()
    await browser.sign_in()
    first = (await browser.call("GET", "/api/audit?limit=1")).body
    second = (await browser.call("GET", f"/api/audit?limit=1&before={first['next']}")).body
    assert [page["entries"][0]["action"] for page in (first, second)] == ["session.begun", "account.person-linked"]
    assert (await browser.call("GET", f"/api/audit?limit=1&before={second['next']}")).body["entries"] == []
    assert (await browser.call("GET", "/api/audit?limit=0")).told == (400, "invalid_limit")


async def test_equal_refusals_of_a_minute_are_noted_once(identity: Running) -> None:
    for _ in range(3):
        await identity.browser().call("GET", "/api/account")
    assert len(await identity.refusals()) == 1
    identity.clock.advance(minutes=1)
    await identity.browser().call("GET", "/api/account")
    assert len(await identity.refusals()) == 2


async def test_a_flood_of_refusals_does_not_fill_the_disk(tmp_path: Path) -> None:
    async with open_backend(tmp_path, "identity") as backend:
        projector = Projector(backend.store, backend.views, name="identity", project=lambda _: [])
        auditor = Auditor(Ledger(backend.store, projector), clock=MovableClock())
        for number in range(REFUSALS_PER_MINUTE + 20):
            await auditor.refused(route="GET /x", error="token_refused", origin=f"{number}")
        await auditor.refused(route="GET /x", error="not_found", origin="their own", actor="4242", account_id=4_242)
        [feed] = await backend.store.feeds()
        stored = (await backend.store.read_feed(feed)).events
    origins = [msgspec.json.decode(event.data, type=AccessRefused).origin for event in stored]
    assert origins == [*(str(number) for number in range(REFUSALS_PER_MINUTE)), "elsewhere", "their own"]
