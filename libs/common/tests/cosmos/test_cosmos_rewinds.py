"""Cursors at a moment: what lies before it is passed over in large pages, and once."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import pytest
from libs.common.tests.cosmos.account import SERVICE
from libs.common.tests.cosmos.replicas import replica

from zekt_common.adapters.cosmos_client import CosmosConnection, CosmosDatabase
from zekt_common.adapters.cosmos_event_store import CosmosEventStore
from zekt_common.adapters.cosmos_topology import events_of, views_of
from zekt_common.adapters.cosmos_views import CosmosViews
from zekt_common.clock import utc_now
from zekt_common.envelope import Envelope, NewEvent
from zekt_common.kit.checkpoints import CheckpointDocument
from zekt_common.ports import Bus, FeedPage
from zekt_sandbox.cosmos import CosmosSandbox

Note = Callable[..., NewEvent]

STREAMS = 60
"""Of three events each, over three feeds."""


async def stored(store: CosmosEventStore, note: Note) -> list[Envelope]:
    """Append in order of time, and return the first feed's events."""
    for number in range(STREAMS):
        await store.append(f"run/{number}", [note(str(number))] * 3, expected_version=0)
    return (await store.read_feed("0")).events


async def ended(store: CosmosEventStore, cursor: str) -> FeedPage:
    """Read on to the end and return the empty page there."""
    while (page := await store.read_feed("0", cursor)).events:
        cursor = page.cursor
    return page


async def asked(account: CosmosSandbox, store: CosmosEventStore, cursors: Sequence[str], timeout_s: float) -> int:
    """Return how many requests it takes to wait at these places at once."""
    before = account.requests.total()
    assert not any(await asyncio.gather(*(store.wait("0", each, timeout_s=timeout_s) for each in cursors)))
    return account.requests.total() - before


async def test_a_history_is_passed_over_in_large_pages_however_few_events_are_asked_for(
    store: CosmosEventStore, account: CosmosSandbox, note: Note
) -> None:
    await stored(store, note)
    before = account.requests.total()
    assert not (await store.read_feed("0", await store.cursor_at("0", utc_now()), 1)).events
    assert account.requests.total() - before <= 4


@pytest.mark.parametrize("limit", [1, 2, 1000])
async def test_after_what_is_passed_over_come_no_more_than_were_asked_for_and_all_of_them(
    store: CosmosEventStore, note: Note, limit: int
) -> None:
    events = await stored(store, note)
    moment = events[len(events) // 2].time
    wanted = [event.id for event in events if event.time >= moment]
    cursor, seen = await store.cursor_at("0", moment), list[str]()
    while (page := await store.read_feed("0", cursor, limit)).events:
        assert len({event.commitid for event in page.events}) <= limit
        seen += [event.id for event in page.events]
        cursor = page.cursor
    assert seen == wanted


async def test_who_has_passed_over_a_history_goes_on_from_its_end(
    store: CosmosEventStore, database: CosmosDatabase, account: CosmosSandbox, note: Note
) -> None:
    await stored(store, note)
    end = await ended(store, await store.cursor_at("0", utc_now()))
    restarted = CosmosEventStore(database.container(events_of(SERVICE)))
    await restarted.feeds()
    before = account.requests.total()
    assert not (await restarted.read_feed("0", end.cursor, 1)).events
    assert account.requests.total() - before == 1
    (later,) = await appended_to_first_feed(store, note)
    assert [event.id for event in (await restarted.read_feed("0", end.cursor)).events] == [later.id]


async def test_a_relay_that_finds_nothing_to_publish_again_need_not_look_anew_when_it_is_restarted(
    store: CosmosEventStore, database: CosmosDatabase, connection: CosmosConnection, bus: Bus, note: Note
) -> None:
    await stored(store, note)
    document = CheckpointDocument(CosmosViews(database.container(views_of(SERVICE))), f"relay/{SERVICE}/0")
    async with AsyncExitStack() as stack:
        relay = await replica(stack, connection, bus)
        await relay.rewind(utc_now())
        rewound = await document.load()
        running = asyncio.create_task(relay.run())
        async with asyncio.timeout(20):
            while (at := await document.load()).rewind is not None:  # noqa: ASYNC110 - a relay tells nobody
                await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert at.cursor == (await store.read_feed("0", rewound.cursor)).cursor != rewound.cursor


async def test_readers_at_several_places_of_a_feed_look_at_a_bounded_rate(
    store: CosmosEventStore, account: CosmosSandbox, note: Note
) -> None:
    await stored(store, note)
    places = [(await ended(store, "")).cursor, (await ended(store, await store.cursor_at("0", utc_now()))).cursor]
    assert await asked(account, store, places, 1.0) <= 2 * 5


async def appended_to_first_feed(store: CosmosEventStore, note: Note) -> list[Envelope]:
    """Append to streams until one of them lies in the first feed, and return its event."""
    end = (await ended(store, "")).cursor
    for number in range(100):
        appended = await store.append(f"later/{number}", [note("x")], expected_version=0)
        if (await store.read_feed("0", end)).events:
            return appended
    raise AssertionError("no stream lies in the first feed")
