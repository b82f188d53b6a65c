"""Appends over a wire that loses answers, throttles and breaks."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from libs.common.tests.cosmos.account import SERVICE

from zekt_common.adapters.cosmos_append_times import Timing
from zekt_common.adapters.cosmos_client import CosmosDatabase
from zekt_common.adapters.cosmos_event_store import CosmosEventStore
from zekt_common.adapters.cosmos_topology import events_of
from zekt_common.envelope import NewEvent
from zekt_common.errors import AppendTooLarge, BackendUnavailable, ClockApart, StreamConflict
from zekt_sandbox.cosmos import CosmosSandbox

Note = Callable[..., NewEvent]

HANGS_S = 5.0
"""So long that even a machine that stands still for a while has given the call up before it is answered."""


async def write_until_done(store: CosmosEventStore, writer: int, note: Note) -> None:
    done = 0
    while done < 5:
        version = len(await store.read("hot"))
        try:
            await store.append("hot", [note(f"{writer} {done} {n}") for n in range(2)], expected_version=version)
        except StreamConflict:
            continue
        done += 1


async def test_ten_racing_writers_whose_answers_get_lost_leave_every_event_once_and_no_gap(
    database: CosmosDatabase, account: CosmosSandbox, note: Note
) -> None:
    account.faults.add("drop_after", operation="batch", count=None, probability=0.2, seed=7)
    stores = [CosmosEventStore(database.container(events_of(SERVICE))) for _ in range(10)]
    await asyncio.gather(*(write_until_done(store, writer, note) for writer, store in enumerate(stores)))
    account.faults.clear()
    events = await stores[0].read("hot")
    assert [event.version for event in events] == list(range(1, 101))
    assert len({event.subject for event in events}) == 100
    assert all(events[n].commitid == events[n + 1].commitid for n in range(0, 100, 2))


async def test_a_lost_answer_is_no_conflict(store: CosmosEventStore, account: CosmosSandbox, note: Note) -> None:
    account.faults.add("drop_after", operation="batch", count=1)
    appended = await store.append("run/1", [note("a"), note("b")], expected_version=0)
    assert await store.read("run/1") == appended


async def test_an_append_ahead_of_its_stream_leaves_no_gap(store: CosmosEventStore, note: Note) -> None:
    await store.append("run/1", [note("a")], expected_version=0)
    with pytest.raises(StreamConflict) as conflict:
        await store.append("run/1", [note("b")], expected_version=5)
    assert conflict.value.actual == 1


@pytest.mark.parametrize("status", [449, 503, 429])
async def test_a_server_that_is_busy_for_a_moment_is_asked_again(
    store: CosmosEventStore, account: CosmosSandbox, note: Note, status: int
) -> None:
    account.faults.add("error", operation="batch", status=status, count=2, retry_after_ms=10)
    await store.append("run/1", [note("a")], expected_version=0)
    account.faults.add("error", operation="query", status=status, count=2, retry_after_ms=10)
    assert len(await store.read("run/1")) == 1


async def test_throttling_that_does_not_end_is_told_as_such(
    store: CosmosEventStore, account: CosmosSandbox, note: Note
) -> None:
    await store.append("run/1", [note("a")], expected_version=0)
    account.faults.add("error", operation="query", status=429, count=None, retry_after_ms=1)
    with pytest.raises(BackendUnavailable, match=r"ZEKT_COSMOS_ENDPOINT.*out of request units"):
        await store.read("run/1")


async def test_an_outage_is_told_and_over_when_it_is_over(
    database: CosmosDatabase, store: CosmosEventStore, account: CosmosSandbox, note: Note
) -> None:
    hasty = CosmosEventStore(database.container(events_of(SERVICE)), timing=Timing(attempt_within_s=0.5))
    await store.append("run/1", [note("a")], expected_version=0)
    account.faults.begin_outage(600)
    with pytest.raises(BackendUnavailable):
        await hasty.append("run/1", [note("b")], expected_version=1)
    account.faults.clear()
    assert len(await store.append("run/1", [note("b")], expected_version=1)) == 1


async def test_an_append_that_only_the_server_finds_too_large_says_so(
    store: CosmosEventStore, account: CosmosSandbox, note: Note
) -> None:
    account.faults.add("error", operation="batch", status=413)
    with pytest.raises(AppendTooLarge, match="2 MB"):
        await store.append("run/1", [note("a")], expected_version=0)
    assert await store.read("run/1") == []


async def test_an_append_that_takes_too_long_is_stamped_anew(
    database: CosmosDatabase, account: CosmosSandbox, note: Note
) -> None:
    hasty = CosmosEventStore(database.container(events_of(SERVICE)), timing=Timing(attempt_within_s=1.0))
    account.faults.add("slow", operation="batch", delay_s=HANGS_S, count=1)
    began = datetime.now(UTC)
    (event,) = await hasty.append("run/1", [note("a")], expected_version=0)
    assert event.time >= began + timedelta(seconds=1.0)
    assert await hasty.read("run/1") == [event]


async def test_an_append_that_never_ends_is_given_up(
    database: CosmosDatabase, store: CosmosEventStore, account: CosmosSandbox, note: Note
) -> None:
    hasty = CosmosEventStore(database.container(events_of(SERVICE)), timing=Timing(attempt_within_s=0.05))
    await store.append("run/1", [note("a")], expected_version=0)
    account.faults.add("slow", operation="batch", delay_s=HANGS_S, count=None)
    with pytest.raises(BackendUnavailable, match="was not answered in time"):
        await hasty.append("run/1", [note("b")], expected_version=1)


@pytest.mark.parametrize("off_s", [-30, 30])
async def test_a_clock_that_is_off_is_refused(
    store: CosmosEventStore, account: CosmosSandbox, note: Note, off_s: int
) -> None:
    account.clock.advance(off_s)
    with pytest.raises(ClockApart):
        await store.append("run/1", [note("a")], expected_version=0)


async def test_a_stream_is_stamped_in_order_by_machines_whose_clocks_differ(
    database: CosmosDatabase, note: Note
) -> None:
    def clock(off_s: float) -> Any:
        return lambda: datetime.now(UTC) + timedelta(seconds=off_s)

    stores = [CosmosEventStore(database.container(events_of(SERVICE)), clock=clock(off_s)) for off_s in (0.4, -0.4)]
    for version in range(6):
        await stores[version % 2].append("run/1", [note("a")], expected_version=version)
    times = [event.time for event in await stores[0].read("run/1")]
    assert times == sorted(set(times))


async def test_the_horizon_lies_back_by_what_an_append_may_take(database: CosmosDatabase) -> None:
    now = datetime.now(UTC)
    store = CosmosEventStore(database.container(events_of(SERVICE)), clock=lambda: now)
    assert now - await store.horizon() == timedelta(seconds=10)
