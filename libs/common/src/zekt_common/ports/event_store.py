"""The port of the append-only event store: the truth of each service."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from zekt_common.envelope import Envelope, NewEvent

BEGINNING = datetime.min.replace(tzinfo=UTC)


class FeedPage(msgspec.Struct, frozen=True):
    """Events in feed order and the cursor that continues after them.

    Every event of the feed that is stamped before `through` lies before the cursor.
    """

    events: list[Envelope]
    cursor: str
    through: datetime = BEGINNING


class EventStore(Protocol):
    """Streams of events; order holds within a stream, and within a feed for one stream, never globally."""

    async def append(self, stream: str, events: Sequence[NewEvent], /, *, expected_version: int) -> list[Envelope]:
        """Append all of `events` or none, durably, and return them as stored.

        The store stamps `time`, never earlier than the stream's event before it. Along a feed, where several machines
        append, times may run backwards a little; `FeedPage.through` and `horizon` say what can be relied on.

        Raises:
            StreamConflict: the stream is not at `expected_version` (0: the stream must not exist).
            AppendTooLarge: more than 99 events, or than 2 MB together as `append_limits` counts; no engine takes more.
        """
        ...

    async def read(self, stream: str, /, *, after: int = 0) -> list[Envelope]:
        """Return the stream's events with a version above `after`, oldest first; none for an unknown stream."""
        ...

    async def feeds(self) -> Sequence[str]:
        """Return the names of the feeds that together hold every event once."""
        ...

    async def read_feed(self, feed: str, /, cursor: str = "", limit: int = 1000) -> FeedPage:
        """Return up to `limit` events after `cursor` ("" is the beginning); an empty page keeps the cursor.

        After one of `cursor_at` an empty page may give another: it need not pass over the same events again.
        An engine may add to the page the rest of an append whose first events fit.
        A stream's events come in version order, and never before an event committed earlier to the same stream.
        """
        ...

    async def cursor_at(self, feed: str, moment: datetime, /) -> str:
        """Return the cursor after which come all events of the feed stamped at `moment` or later."""
        ...

    async def wait(self, feed: str, cursor: str, /, *, timeout_s: float) -> bool:
        """Return True once the feed holds an event after `cursor`, or False on timeout.

        An event of this process is noticed within 5 ms of its commit, another's as soon as the engine tells.
        """
        ...

    async def horizon(self) -> datetime:
        """Return a time that no later commit will be stamped at or before, all earlier ones being readable.

        It may lie back by what the engine allows an append and the machines' clocks: 10 s on Cosmos DB.
        """
        ...
