"""The change feed of a container of events: its ranges as feeds, cursors that outlive splits, and waiting.

A feed is one range of the container as its partitions lay when it was first read; that list is kept in the container
itself, so that a feed's name means the same range for ever. When a partition splits, the cursors within it go on.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from zekt_common.adapters.cosmos_append_times import AppendTimes
from zekt_common.adapters.cosmos_container import CosmosContainer, Item
from zekt_common.adapters.cosmos_feed_pages import FeedRange, RangePages, is_divided
from zekt_common.adapters.cosmos_late_commits import LateCommits
from zekt_common.clock import from_micros, to_micros
from zekt_common.envelope import Envelope, decode_page
from zekt_common.ports.event_store import FeedPage

LOOK_EVERY_S: Final = 0.25
PASSED_OVER: Final = 1000
"""Events to take at once while those before a moment are passed over."""
_RANGES: Final = "ranges"
_OWN_STREAM: Final = "~feeds"
"""No event's stream is called so: their names begin with a letter or digit."""


class _Part(msgspec.Struct, frozen=True, array_like=True):
    """A range within the feed, and the SDK's token that continues it ("" is the beginning).

    Times are in microseconds: nothing that comes now is stamped before `through`.
    """

    range: FeedRange
    token: str
    through: int


class _Cursor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a reader is in each part of a feed, the next to read first; what was stamped before `since` is skipped."""

    parts: tuple[_Part, ...] = ()
    since: int = 0

    @property
    def through(self) -> int:
        return min(part.through for part in self.parts)

    def settled(self) -> "_Cursor":
        """Return the same place, and skip nothing any more once nothing older can come."""
        return _Cursor(self.parts) if self.through >= self.since else self


_FOREIGN: Final = "this is no cursor of this store"

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Cursor)


class CosmosChangeFeed:
    """Reads feeds page by page, as far as `times` says how their stamps may be ordered."""

    def __init__(self, container: CosmosContainer, times: AppendTimes) -> None:
        self._container = container
        self._pages = RangePages(container)
        self._times = times
        self._late = LateCommits(container.name, times.margin)
        self._ranges: Sequence[FeedRange] = ()
        self._woken = asyncio.Event()
        self._ends: dict[str, _End] = {}

    async def names(self) -> Sequence[str]:
        """Return the names of the feeds, the same for every reader and for ever."""
        return [str(number) for number in range(len(await self._all_ranges()))]

    async def page(self, feed: str, cursor: str, limit: int) -> FeedPage:
        """Return the next events, and remember when the feed's end was seen.

        Raises:
            ValueError: the cursor or the feed is none of ours.
        """
        woken = self._woken
        at = await self._started(feed, cursor)
        passed_over, ended = at.since, 0
        while ended < len(at.parts):
            at, events = await self._next(at, limit)
            if events:
                at = at.settled()
                return FeedPage(events, _encode(at), from_micros(at.through))
            ended += 1
        at = at.settled()
        kept = _encode(at) if passed_over else cursor  # else all that was passed over would be read again
        self._ends[feed] = _End(frozenset((cursor, kept)), at, woken)
        return FeedPage([], kept)

    def cursor_at(self, feed: str, moment: datetime) -> str:
        """Return the cursor that passes over what was stamped before `moment`."""
        del feed
        return _encode(_Cursor(since=to_micros(moment)))

    async def wait(self, feed: str, cursor: str, timeout_s: float) -> bool:
        """Return True once there may be something after `cursor`: an append of our own, or anybody's when we look."""
        deadline = time.monotonic() + timeout_s
        while True:
            seen = self._ends.get(feed)
            if seen is None or cursor not in seen.cursors or seen.woken.is_set() or seen.is_old():
                if (await self.page(feed, cursor, 1)).events:
                    return True
                seen = self._ends[feed]
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            await _any_append(seen.woken, min(left_s, seen.looks_again_in_s()))

    def wake(self) -> None:
        """Have those who wait look at once."""
        self._woken.set()
        self._woken = asyncio.Event()

    async def _next(self, at: _Cursor, limit: int) -> tuple[_Cursor, list[Envelope]]:
        """Read on in the first part, until it gives events that are wanted or ends, and put it last."""
        first, *others = await self._begun(at.parts)
        size = max(limit, PASSED_OVER) if at.since else limit
        while True:
            after, items, events = await self._read(first, size)
            wanted = [event for event in events if to_micros(event.time) >= at.since]
            if len(wanted) > limit and (as_far := events.index(wanted[limit - 1]) + 1) < size:
                size = as_far  # more than was asked for: read again, just as far
            elif wanted or not items:
                return _Cursor((*others, after), at.since), wanted
            else:
                first = after

    async def _read(self, part: _Part, limit: int) -> tuple[_Part, Sequence[Item], list[Envelope]]:
        horizon = self._times.horizon()
        try:
            items, token = await self._pages.read(part.range, part.token, limit)
        except ValueError as error:
            raise ValueError(_FOREIGN) from error
        items_of_events = [item for item in items if "event" in item]
        events = decode_page("[" + ",".join(item["event"] for item in items_of_events) + "]")
        self._late.notice(items_of_events, events)
        if not items:
            through = to_micros(horizon)
        elif events and not is_divided(token):  # else the rest of the range may lie back any far
            through = to_micros(max(event.time for event in events) - self._times.margin)
        else:
            through = part.through
        return _Part(part.range, token, max(through, part.through)), items, events

    async def _started(self, feed: str, cursor: str) -> _Cursor:
        try:
            at = _decoder.decode(cursor) if cursor else _Cursor()
        except msgspec.MsgspecError as error:
            raise ValueError(_FOREIGN) from error
        end = self._ends.get(feed)
        if end is not None and cursor in end.cursors:
            return end.at
        whole = (await self._all_ranges())[int(feed)]
        return at if at.parts else _Cursor((_Part(whole, "", at.since),), at.since)

    async def _begun(self, parts: Sequence[_Part]) -> Sequence[_Part]:
        """Divide the first part by the partitions in it, if it is not begun: no token continues several at once."""
        first, *others = parts
        if first.token:
            return parts
        within = await self._pages.within(first.range)
        return [*(_Part(each, "", first.through) for each in within), *others]

    async def _all_ranges(self) -> Sequence[FeedRange]:
        if not self._ranges:
            kept = await self._container.read(_OWN_STREAM, _RANGES)
            if kept is None:
                present = {"id": _RANGES, "streamId": _OWN_STREAM, "ranges": await self._pages.present()}
                kept = await self._container.create_or_keep(_OWN_STREAM, present)
            self._ranges = kept["ranges"]
        return self._ranges


class _End:
    """Nothing came after these cursors up to `at`, which goes on from there; `woken` is set by the next own append."""

    def __init__(self, cursors: frozenset[str], at: _Cursor, woken: asyncio.Event) -> None:
        self.cursors, self.at, self.woken = cursors, at, woken
        self._seen_at = time.monotonic()

    def looks_again_in_s(self) -> float:
        return self._seen_at + LOOK_EVERY_S - time.monotonic()

    def is_old(self) -> bool:
        return self.looks_again_in_s() <= 0


def _encode(cursor: _Cursor) -> str:
    return _encoder.encode(cursor).decode()


async def _any_append(woken: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(max(timeout_s, 0)):
            await woken.wait()
    except TimeoutError:
        return
