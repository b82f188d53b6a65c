"""Copying events: planned by comparing both sides, written in feed order, and compared again.

The order matters beyond each stream: the target's feeds are read by readers who rely on times that run backwards by a
few seconds at most. So only what was stored within moments of each other is written side by side.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from zekt_cli.copying.tally import FeedEnd, StreamTally, Tally, count, pages, taken
from zekt_cli.exits import CommandFailed, Exit
from zekt_common.adapters.cosmos_append_times import Timing
from zekt_common.adapters.cosmos_import import CosmosImport
from zekt_common.envelope import Envelope
from zekt_common.ports import EventStore
from zekt_common.ports.event_store import BEGINNING

SIDE_BY_SIDE: Final = timedelta(seconds=Timing().margin_s / 2)
LARGEST_WINDOW: Final = 1000
STREAMS_AT_ONCE: Final = 16


class EventPlan(msgspec.Struct, frozen=True):
    """What a service has here, and up to which version each stream is there already."""

    service: str
    source: Tally
    newest: datetime
    there: dict[str, int]

    @property
    def missing(self) -> int:
        """How many events are still to be copied."""
        return count(self.source) - sum(self.there.values())


async def plan_events(service: str, source: EventStore, target: EventStore) -> EventPlan:
    """Return the plan of a service, reading both stores from end to end.

    Raises:
        CommandFailed: 1 when the target holds events that are not the source's.
    """
    theirs, _ = await taken(target)
    ours: Tally = {}
    newest = BEGINNING
    async for event in _all(source):
        ours[event.stream] = here = ours.get(event.stream, StreamTally()).following(event)
        newest = max(newest, event.time)
        if (there := theirs.get(event.stream)) and there.version == here.version and there != here:
            raise _differs(service, event.stream)
    for stream, tally in theirs.items():
        if stream not in ours or tally.version > ours[stream].version:
            raise _differs(service, stream)
    return EventPlan(service, ours, newest, {stream: tally.version for stream, tally in theirs.items()})


async def write_events(plan: EventPlan, source: EventStore, target: CosmosImport) -> None:
    """Write what is missing, as it is."""
    window: list[Envelope] = []
    async for event in _all(source):
        if event.version <= plan.there.get(event.stream, 0):
            continue
        if window and (event.time - window[0].time > SIDE_BY_SIDE or len(window) == LARGEST_WINDOW):
            await _write_window(plan.service, window, target)
            window = []
        window.append(event)
    await _write_window(plan.service, window, target)


async def verify_events(plan: EventPlan, target: EventStore) -> dict[str, FeedEnd]:
    """Compare every event that is there now with what is here, and return where the target's feeds end.

    Raises:
        CommandFailed: 1 when they differ.
    """
    theirs, ends = await taken(target)
    if theirs != plan.source:
        stream = next(each for each in {**plan.source, **theirs} if plan.source.get(each) != theirs.get(each))
        raise _differs(plan.service, stream)
    return ends


async def _write_window(service: str, window: Sequence[Envelope], target: CosmosImport) -> None:
    streams: dict[str, list[Envelope]] = defaultdict(list)
    for event in window:
        streams[event.stream].append(event)
    limit = asyncio.Semaphore(STREAMS_AT_ONCE)

    async def write(events: Sequence[Envelope]) -> None:
        async with limit:
            await target.add_events(service, events)

    await asyncio.gather(*map(write, streams.values()))


async def _all(store: EventStore) -> AsyncIterator[Envelope]:
    for feed in await store.feeds():
        async for events, _ in pages(store, feed):
            for event in events:
                yield event


def _differs(service: str, stream: str) -> CommandFailed:
    return CommandFailed(
        Exit.CHECK_FAILED,
        f"{service}'s stream {stream} is not the same in both stores: "
        "copy into a database of its own (ZEKT_COSMOS_DATABASE), or delete this one",
    )
