"""Feeds over partitions that split, and relays that share them."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from libs.common.tests.cosmos.account import SERVICE
from libs.common.tests.cosmos.replicas import replica
from libs.common.tests.patience import PATIENCE_S

from zekt_common.adapters.cosmos_append_times import Timing
from zekt_common.adapters.cosmos_change_feed import LOOK_EVERY_S
from zekt_common.adapters.cosmos_client import CosmosConnection, CosmosDatabase
from zekt_common.adapters.cosmos_event_store import CosmosEventStore
from zekt_common.adapters.cosmos_topology import events_of
from zekt_common.envelope import Envelope, NewEvent, decode
from zekt_common.kit.relay import PAGE
from zekt_common.ports import Bus
from zekt_sandbox.cosmos import CosmosSandbox
from zekt_sandbox.cosmos.calls import Operation

Note = Callable[..., NewEvent]


class SteppingClock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.start = self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


async def fill(store: CosmosEventStore, note: Note, streams: int, *, after: int = 0, events: int = 3) -> list[str]:
    """Append to so many streams and return the ids."""
    appends = (
        store.append(f"run/{n}", [note(str(n)) for _ in range(events)], expected_version=after) for n in range(streams)
    )
    return [event.id for appended in await asyncio.gather(*appends) for event in appended]


async def read_on(store: CosmosEventStore, cursors: dict[str, str], limit: int = 1000) -> list[Envelope]:
    """Return what comes after the cursors, and move them."""
    found: list[Envelope] = []
    for feed in await store.feeds():
        while (page := await store.read_feed(feed, cursors.get(feed, ""), limit)).events:
            found += page.events
            cursors[feed] = page.cursor
    return found


async def rest_of(store: CosmosEventStore, feed: str, cursor: str) -> list[Envelope]:
    rest: list[Envelope] = []
    while (page := await store.read_feed(feed, cursor)).events:
        rest += page.events
        cursor = page.cursor
    return rest


def in_stream_order(events: Sequence[Envelope]) -> bool:
    versions = defaultdict[str, list[int]](list)
    for event in events:
        versions[event.stream].append(event.version)
    return all(each == sorted(each) for each in versions.values())


def split(account: CosmosSandbox, connection: CosmosConnection) -> None:
    account.split(connection.database, events_of(SERVICE))


async def test_each_of_the_containers_ranges_is_a_feed(store: CosmosEventStore, note: Note) -> None:
    assert await store.feeds() == ["0", "1", "2"]
    await fill(store, note, 30)
    assert all([(await store.read_feed(feed)).events for feed in await store.feeds()])


async def test_a_relay_takes_a_thousand_events_with_each_request(
    store: CosmosEventStore, account: CosmosSandbox, note: Note
) -> None:
    await fill(store, note, 100, events=99)
    taken: list[int] = []
    page = await store.read_feed("0", "", PAGE)
    while page.events:
        taken.append(len(page.events))
        page = await store.read_feed("0", page.cursor, PAGE)
    assert len(taken) > 1
    assert all(1000 <= count < 1099 for count in taken[:-1]), "an append stays together"
    assert account.requests[Operation.CHANGE_FEED] == len(taken) + 1


async def test_feeds_keep_their_names_when_a_partition_splits(
    database: CosmosDatabase, account: CosmosSandbox, connection: CosmosConnection
) -> None:
    before = await CosmosEventStore(database.container(events_of(SERVICE))).feeds()
    split(account, connection)
    assert await CosmosEventStore(database.container(events_of(SERVICE))).feeds() == before


async def test_a_split_loses_and_repeats_nothing(
    store: CosmosEventStore, account: CosmosSandbox, connection: CosmosConnection, note: Note
) -> None:
    cursors: dict[str, str] = {}
    stored = await fill(store, note, 40)
    seen = await read_on(store, cursors)
    for after in (3, 6, 9):
        split(account, connection)
        stored += await fill(store, note, 40, after=after)
        seen += await read_on(store, cursors, limit=7)
    assert sorted(event.id for event in seen) == sorted(stored)
    assert in_stream_order(seen)


async def test_a_split_in_the_middle_of_a_feed_loses_and_repeats_nothing(
    store: CosmosEventStore, account: CosmosSandbox, connection: CosmosConnection, note: Note
) -> None:
    stored = await fill(store, note, 60)
    cursors: dict[str, str] = {}
    seen: list[Envelope] = []
    for feed in await store.feeds():
        page = await store.read_feed(feed, "", 5)
        cursors[feed] = page.cursor
        seen += page.events
    for _ in range(3):
        split(account, connection)
    seen += await read_on(store, cursors)
    assert sorted(event.id for event in seen) == sorted(stored)
    assert in_stream_order(seen)


async def test_a_feed_begun_after_a_split_can_be_left_and_continued_at_every_page(
    store: CosmosEventStore, account: CosmosSandbox, connection: CosmosConnection, note: Note
) -> None:
    await store.feeds()
    stored = await fill(store, note, 60)
    for _ in range(3):
        split(account, connection)
    cursors: dict[str, str] = {}
    seen: list[Envelope] = []
    for feed in await store.feeds():
        while (page := await store.read_feed(feed, cursors.get(feed, ""), 4)).events:
            seen += page.events
            cursors[feed] = page.cursor
            if len(seen) % 3 == 0:
                split(account, connection)
    assert sorted(event.id for event in seen) == sorted(stored)
    assert in_stream_order(seen)


async def test_a_cursor_at_a_moment_passes_over_what_came_before_it(store: CosmosEventStore, note: Note) -> None:
    await fill(store, note, 5)
    (later,) = await store.append("later/1", [note("x")], expected_version=0)
    cursors = {feed: await store.cursor_at(feed, later.time) for feed in await store.feeds()}
    assert [event.id for event in await read_on(store, cursors, limit=2)] == [later.id]
    (next_one,) = await store.append("later/2", [note("y")], expected_version=0)
    assert [event.id for event in await read_on(store, cursors)] == [next_one.id]


async def test_no_other_cursor_is_taken_for_one_of_ours(store: CosmosEventStore) -> None:
    for cursor in ("17", "[]", '{"parts":[[{},"x"]]}'):
        with pytest.raises(ValueError, match="no cursor"):
            await store.read_feed("0", cursor)


async def test_another_machines_event_is_noticed_when_it_is_looked_for(
    store: CosmosEventStore, database: CosmosDatabase, note: Note
) -> None:
    feeds = await store.feeds()
    waiting = [asyncio.create_task(store.wait(feed, "", timeout_s=100 * PATIENCE_S)) for feed in feeds]
    await asyncio.gather(*(store.wait(feed, "", timeout_s=0) for feed in feeds))
    other = CosmosEventStore(database.container(events_of(SERVICE)))
    await fill(other, note, 30)
    async with asyncio.timeout(PATIENCE_S):
        assert await asyncio.gather(*waiting) == [True] * len(feeds)


async def test_waiting_looks_at_a_bounded_rate(store: CosmosEventStore, account: CosmosSandbox) -> None:
    await store.read_feed("0")
    before, began = account.requests.total(), time.monotonic()
    assert not await store.wait("0", "", timeout_s=1.0)
    assert 1 <= account.requests.total() - before <= 1 + (time.monotonic() - began) / LOOK_EVERY_S


async def take(bus: Bus, count: int) -> list[Envelope]:
    receiver = bus.subscribe(SERVICE, "router")
    taken: list[Envelope] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(taken) < count:
            for message in await receiver.receive(count, timeout_s=1):
                await receiver.complete(message)
                taken.append(decode(message.body))
    return taken


async def test_of_three_relays_one_publishes_and_another_goes_on_when_it_dies_over_a_split(
    store: CosmosEventStore, account: CosmosSandbox, connection: CosmosConnection, bus: Bus, note: Note
) -> None:
    async with AsyncExitStack() as stack:
        relays = [await replica(stack, connection, bus) for _ in range(3)]
        running = [asyncio.create_task(relay.run()) for relay in relays]
        stored = await fill(store, note, 30)
        taken = await take(bus, len(stored))
        for after in (3, 6):
            holder = max(range(3), key=lambda n: (not running[n].done(), relays[n].published > 0))
            running[holder].cancel()
            split(account, connection)
            stored += await fill(store, note, 30, after=after)
            taken += await take(bus, len(stored) - len(taken))
        assert sum(relay.published > 0 for relay in relays) == 3
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    assert sorted(event.id for event in taken) == sorted(stored)
    assert in_stream_order(taken)


async def test_a_rewound_relay_publishes_again_what_was_stamped_since(
    store: CosmosEventStore, connection: CosmosConnection, bus: Bus, note: Note
) -> None:
    async with AsyncExitStack() as stack:
        relay = await replica(stack, connection, bus)
        running = asyncio.create_task(relay.run())
        stored = await fill(store, note, 10)
        taken = await take(bus, len(stored))
        await relay.rewind(min(event.time for event in taken) - timedelta(days=1))
        again = await take(bus, len(stored))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert {event.id for event in again} == set(stored)


async def test_what_a_page_says_to_lie_before_it_does_over_a_split_in_a_backlog(
    database: CosmosDatabase, account: CosmosSandbox, connection: CosmosConnection, note: Note
) -> None:
    clock = SteppingClock()
    account.clock.advance((clock.now - datetime.now(UTC)).total_seconds())
    store = CosmosEventStore(database.container(events_of(SERVICE)), clock=clock, timing=Timing(clock_off_s=5))
    await store.feeds()
    for after in range(12):
        await fill(store, note, 12, after=after, events=1)
        clock.now += timedelta(seconds=20)
        account.clock.advance(20)
    cursors = dict.fromkeys(await store.feeds(), "")
    claims = 0
    while cursors:
        for feed, cursor in list(cursors.items()):
            page = await store.read_feed(feed, cursor, 2)
            if not page.events:
                del cursors[feed]
                continue
            cursors[feed] = page.cursor
            rest = await rest_of(store, feed, page.cursor)
            assert all(event.time >= page.through for event in rest)
            claims += page.through > clock.start
        split(account, connection)
    assert claims > 0
