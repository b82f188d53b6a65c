"""What a crash, a race or a failing store leaves behind, and what becomes of it, on real files and a set clock."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from services.dispatcher.tests.harness import DISPATCHES, enveloped, origin
from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.contracts.identity import InstallationToken, InstallationTokenRequest
from zekt_common.contracts.router import DeliveryRequested
from zekt_common.envelope import Envelope, NewEvent
from zekt_common.errors import StorageUnusable
from zekt_common.kit.consumer import Complete
from zekt_common.ports import EventStore
from zekt_dispatcher.allowances import Allowances
from zekt_dispatcher.budgets import Budgets
from zekt_dispatcher.delivery import Policy, decider, stream_of
from zekt_dispatcher.delivery_commands import BeginAttempt, RecordDispatched, Replay, Request
from zekt_dispatcher.delivery_events import Order
from zekt_dispatcher.dispatching import Dispatching
from zekt_dispatcher.github import GitHub
from zekt_dispatcher.handlers import Handlers, order_of
from zekt_dispatcher.ledger import Entry, Ledger
from zekt_dispatcher.preparing import Preparation
from zekt_dispatcher.standing import Standing
from zekt_dispatcher.tokens import DispatchTokens
from zekt_sandbox import GitHubSandbox


class Clock:
    """A time that only the test moves."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class AppTokens:
    """Tokens straight from the stand-in, as identity would get them."""

    def __init__(self, sandbox: GitHubSandbox, http: aiohttp.ClientSession) -> None:
        self._sandbox, self._http = sandbox, http

    async def token(self, request: InstallationTokenRequest, /) -> InstallationToken:
        url = f"{self._sandbox.url}/app/installations/{request.installation_id}/access_tokens"
        headers = {"Authorization": f"Bearer {self._sandbox.app_jwt()}"}
        async with self._http.post(url, headers=headers) as answer:
            made = await answer.json()
        return InstallationToken(
            token=made["token"],
            expires_at=datetime.fromisoformat(made["expires_at"]) + timedelta(days=3650),
            installation_id=request.installation_id or 0,
            account_id=None,
            repository_ids=request.repository_ids,
        )


class Unsteady:
    """The store, refusing appends of one event type as often as it is told to."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self.refuse: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, stream: str, events: Sequence[NewEvent], /, *, expected_version: int) -> list[Envelope]:
        for event in events:
            if self.refuse.get(event.body.TYPE, 0) > 0:
                self.refuse[event.body.TYPE] -= 1
                raise StorageUnusable("the disk is full")
        return await self._store.append(stream, events, expected_version=expected_version)


@dataclass
class Parts:
    clock: Clock
    sandbox: GitHubSandbox
    store: Unsteady
    ledger: Ledger
    handlers: Handlers

    async def kinds(self, delivery_id: str) -> list[str]:
        stored = await self.store.read(stream_of(delivery_id))
        return [event.type.removeprefix("dev.zekt.delivery.") for event in stored]

    async def crash_before_the_post(self, order: Order) -> Entry:
        """Leave what a process leaves that dies right after storing the attempt."""
        at = self.clock()
        begin = BeginAttempt(at=at, deadline=at + timedelta(seconds=15))
        request = Request(order=order, at=at, event_time=at, then=begin)
        return await self.ledger.execute(Entry(stream=stream_of(order.delivery_id)), request, cause="cause")


def assemble(clock: Clock, sandbox: GitHubSandbox, backend: Backend, http: aiohttp.ClientSession) -> Parts:
    store, budgets, policy = Unsteady(backend.store), Budgets(8), Policy()
    tokens = DispatchTokens(AppTokens(sandbox, http), clock=clock)
    ledger = Ledger(store, decider(policy))
    standing = Standing(backend.views)
    preparation = Preparation(
        backend.payloads, tokens, budgets, standing, public_url="https://zekt.example", clock=clock
    )
    github = GitHub(http, sandbox.url, clock=clock)
    dispatching = Dispatching(
        ledger,
        preparation,
        github,
        tokens,
        budgets,
        allowances=Allowances(),
        post_timeout_s=10,
        clock=clock,
        jitter=lambda: 1.0,
    )
    handlers = Handlers(ledger, dispatching, policy, clock=clock, jitter=lambda: 1.0)
    return Parts(clock, sandbox, store, ledger, handlers)


@pytest.fixture
async def parts(sandbox: GitHubSandbox, tmp_path: Path, noon: datetime) -> AsyncIterator[Parts]:
    clock = Clock(noon)
    async with open_backend(tmp_path, "dispatcher", clock=clock) as backend, aiohttp.ClientSession() as http:
        yield assemble(clock, sandbox, backend, http)


@pytest.fixture
def requested() -> DeliveryRequested:
    return DeliveryRequested(
        delivery_id="ab" * 16,
        subscription_id="sub-1",
        repository_id=100,
        owner_id=10,
        run_id=4711,
        run_attempt=1,
        message_id="m" * 32,
        event_type="deployment",
        origin=origin(),
        target_repository_id=200,
        target_repository="beta/consumer",
        installation_id=55,
        payload=msgspec.Raw(b"{}"),
    )


async def test_an_attempt_open_at_a_crash_becomes_ambiguous_at_its_deadline_and_is_made_again(
    parts: Parts, requested: DeliveryRequested
) -> None:
    entry = await parts.crash_before_the_post(order_of(requested))
    parts.clock.pass_s(5)
    assert await parts.handlers.fire(entry.stream), "the timer of something that is over"
    assert await parts.handlers.requested(requested, enveloped(requested, parts.clock())) == Complete()
    assert parts.sandbox.dispatches() == []
    parts.clock.pass_s(10)
    assert await parts.handlers.fire(entry.stream)
    assert (await parts.kinds(requested.delivery_id))[2:] == ["attempt-ambiguous"]
    parts.clock.pass_s(1)
    assert await parts.handlers.fire(entry.stream)
    assert (await parts.kinds(requested.delivery_id))[3:] == ["attempted", "dispatched"]
    assert len(parts.sandbox.dispatches()) == 1


async def test_a_timer_whose_clock_was_set_back_is_looked_at_again(parts: Parts, requested: DeliveryRequested) -> None:
    entry = await parts.crash_before_the_post(order_of(requested))
    parts.clock.pass_s(14)
    assert not await parts.handlers.fire(entry.stream)


async def test_handlers_and_timers_that_race_dispatch_once(parts: Parts, requested: DeliveryRequested) -> None:
    cause = enveloped(requested, parts.clock())
    racing = [parts.handlers.requested(requested, cause) for _ in range(6)]
    firing = [parts.handlers.fire(stream_of(requested.delivery_id)) for _ in range(6)]
    await asyncio.gather(*racing, *firing)
    assert await parts.kinds(requested.delivery_id) == ["requested", "attempted", "dispatched"]
    assert len(parts.sandbox.dispatches()) == 1


async def test_timers_that_race_for_a_due_retry_dispatch_once(parts: Parts, requested: DeliveryRequested) -> None:
    parts.sandbox.add_fault("error", path=DISPATCHES, status=503)
    await parts.handlers.requested(requested, enveloped(requested, parts.clock()))
    parts.clock.pass_s(1)
    await asyncio.gather(*(parts.handlers.fire(stream_of(requested.delivery_id)) for _ in range(8)))
    assert (await parts.kinds(requested.delivery_id))[3:] == ["attempted", "dispatched"]
    assert len(parts.sandbox.dispatches()) == 2


async def test_an_outcome_that_the_store_refuses_for_a_moment_is_not_lost(
    parts: Parts, requested: DeliveryRequested
) -> None:
    parts.store.refuse["dev.zekt.delivery.dispatched"] = 1
    await parts.handlers.requested(requested, enveloped(requested, parts.clock()))
    assert await parts.kinds(requested.delivery_id) == ["requested", "attempted", "dispatched"]


async def test_an_outcome_that_cannot_be_stored_leaves_the_attempt_open(
    parts: Parts, requested: DeliveryRequested
) -> None:
    parts.store.refuse["dev.zekt.delivery.dispatched"] = 100
    with pytest.raises(StorageUnusable):
        await parts.handlers.requested(requested, enveloped(requested, parts.clock()))
    assert await parts.kinds(requested.delivery_id) == ["requested", "attempted"]
    parts.clock.pass_s(15)
    await parts.handlers.fire(stream_of(requested.delivery_id))
    assert (await parts.kinds(requested.delivery_id))[-1] == "attempt-ambiguous"


async def test_nothing_is_posted_for_an_attempt_that_could_not_be_stored(
    parts: Parts, requested: DeliveryRequested
) -> None:
    parts.store.refuse["dev.zekt.delivery.attempted"] = 1
    with pytest.raises(StorageUnusable):
        await parts.handlers.requested(requested, enveloped(requested, parts.clock()))
    assert parts.sandbox.dispatches() == []
    assert await parts.kinds(requested.delivery_id) == []
    await parts.handlers.requested(requested, enveloped(requested, parts.clock()))
    assert len(parts.sandbox.dispatches()) == 1


async def test_an_attempt_cut_off_by_the_end_of_the_process_stays_open(
    parts: Parts, requested: DeliveryRequested
) -> None:
    parts.sandbox.add_fault("slow", path=DISPATCHES, delay_s=5)  # by when even a busy machine has cut it off
    handling = asyncio.create_task(parts.handlers.requested(requested, enveloped(requested, parts.clock())))
    while not parts.sandbox.dispatches():  # noqa: ASYNC110 - the stand-in has no event for a POST that it has only begun
        await asyncio.sleep(0.01)
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    assert await parts.kinds(requested.delivery_id) == ["requested", "attempted"]


async def test_a_replay_whose_request_was_never_stored_is_taken_up_by_its_originals_timer(
    parts: Parts, requested: DeliveryRequested
) -> None:
    entry = await parts.crash_before_the_post(order_of(requested))
    entry = await parts.ledger.execute(entry, RecordDispatched(at=parts.clock(), attempt=1))
    entry = await parts.ledger.execute(entry, Replay(at=parts.clock()))
    (replay,) = entry.state.replays
    assert await parts.kinds(replay) == []
    for _ in range(2):
        assert await parts.handlers.fire(entry.stream)
    assert await parts.kinds(replay) == ["requested"]
    assert await parts.handlers.fire(stream_of(replay))
    assert await parts.kinds(replay) == ["requested", "attempted", "dispatched"]


async def test_a_timer_of_a_delivery_that_does_not_exist_goes_away(parts: Parts) -> None:
    assert await parts.handlers.fire("delivery/unknown")
