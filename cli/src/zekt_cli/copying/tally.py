"""What a store holds, stream by stream, in a form that two engines can be compared by."""

import hashlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

import msgspec

from zekt_common.envelope import Envelope, encode
from zekt_common.errors import EventTampered
from zekt_common.ports import EventStore
from zekt_common.ports.event_store import BEGINNING

PAGE: Final = 1000


class StreamTally(msgspec.Struct, frozen=True, gc=False):
    """A stream's last version, which is how many events it has, and a hash over all of them in order."""

    version: int = 0
    digest: bytes = b""

    def following(self, envelope: Envelope) -> "StreamTally":
        """Return the tally with one more event.

        Raises:
            EventTampered: it is not the next version.
        """
        if envelope.version != self.version + 1:
            raise EventTampered(f"{envelope.stream} goes from version {self.version} to {envelope.version}")
        return StreamTally(envelope.version, hashlib.sha256(self.digest + encode(envelope)).digest())


Tally = dict[str, StreamTally]


class FeedEnd(msgspec.Struct, frozen=True):
    """Where a feed ends: the cursor after its last event, and what lies before it for good."""

    cursor: str = ""
    through: datetime = BEGINNING


async def pages(store: EventStore, feed: str) -> AsyncIterator[tuple[list[Envelope], FeedEnd]]:
    """Yield the feed's events page by page, each with where it ends."""
    end = FeedEnd()
    while (page := await store.read_feed(feed, end.cursor, PAGE)).events:
        end = FeedEnd(page.cursor, page.through)
        yield page.events, end


async def taken(store: EventStore) -> tuple[Tally, dict[str, FeedEnd]]:
    """Read everything and return the tally, and the end of each feed."""
    tally: Tally = {}
    ends: dict[str, FeedEnd] = {}
    for feed in await store.feeds():
        ends[feed] = FeedEnd()
        async for events, end in pages(store, feed):
            ends[feed] = end
            for event in events:
                tally[event.stream] = tally.get(event.stream, StreamTally()).following(event)
    return tally, ends


def count(tally: Tally) -> int:
    """Return how many events there are."""
    return sum(stream.version for stream in tally.values())
