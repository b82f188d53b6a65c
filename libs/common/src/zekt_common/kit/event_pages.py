"""Stored events page by page, filtered, over every feed of a store, with one cursor that says how far it has looked."""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from typing import Final

import msgspec

from zekt_common.envelope import Envelope
from zekt_common.kit.errors import Refusal
from zekt_common.ports import EventStore

SCAN_EVENTS: Final = 20_000
SCAN_PAGE: Final = 500
LONGEST_WAIT_S: Final = 60.0


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are wanted: a value matches exactly, as a prefix if it ends with `*`, and anything if empty."""

    type: str = ""
    stream: str = ""

    def wants(self, event: Envelope) -> bool:
        """Return whether the event is wanted."""
        return _matches(self.type, event.type) and _matches(self.stream, event.stream)


class EventPage(msgspec.Struct, frozen=True):
    """Events found, and the cursor after what was looked at, which moves on even when nothing fitted."""

    events: Sequence[Envelope]
    cursor: str


class EventReader:
    """Reads one store."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def read(self, wanted: EventFilter, cursor: str, limit: int) -> EventPage:
        """Return up to `limit` wanted events after the cursor ("": the beginning), looking at 20,000 at most.

        Where the engine keeps the events of one append together, the last append may go over the limit.

        Raises:
            Refusal: 400, the cursor is none of ours.
        """
        cursors = _decode(cursor)
        found: list[Envelope] = []
        budget = SCAN_EVENTS
        for feed in await self._store.feeds():
            while len(found) < limit and budget > 0:
                seen, cursors[feed] = await self._scan(feed, cursors.get(feed, ""), wanted, found, limit)
                budget -= seen
                if not seen:
                    break
                await asyncio.sleep(0)  # a long scan is not to hold up the webhooks
        return EventPage(found, _encode(cursors))

    async def wait(self, cursor: str) -> None:
        """Return once any feed holds an event after the cursor."""
        cursors = _decode(cursor)
        waits = [
            asyncio.create_task(self._store.wait(feed, cursors.get(feed, ""), timeout_s=LONGEST_WAIT_S))
            for feed in await self._store.feeds()
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _scan(
        self, feed: str, cursor: str, wanted: EventFilter, found: list[Envelope], limit: int
    ) -> tuple[int, str]:
        """Add one stored page's wanted events to `found`; return how many were looked at and the cursor after them."""
        everything = not (wanted.type or wanted.stream)
        size = min(limit - len(found), SCAN_PAGE) if everything else SCAN_PAGE
        try:
            page = await self._store.read_feed(feed, cursor, size)
        except ValueError:
            raise _foreign_cursor() from None
        fitting = [event for event in page.events if wanted.wants(event)]
        room = limit - len(found)
        if len(fitting) > room:  # stop right after the last one that fits: read again just as far
            last = page.events.index(fitting[room - 1])
            page = await self._store.read_feed(feed, cursor, last + 1)
            fitting = [event for event in page.events if wanted.wants(event)]
        found += fitting
        return len(page.events), page.cursor


def _matches(wanted: str, value: str) -> bool:
    if wanted.endswith("*"):
        return value.startswith(wanted[:-1])
    return not wanted or value == wanted


def _encode(cursors: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursors)).decode()


def _decode(cursor: str) -> dict[str, str]:
    if not cursor:
        return {}
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=dict[str, str])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise _foreign_cursor() from None


def _foreign_cursor() -> Refusal:
    return Refusal(400, "invalid_cursor", "Pass the cursor of the page before, unchanged, or none to begin anew.")
