"""The event store on Cosmos DB: a logical partition for each stream, a transactional batch for each append.

An append's batch begins by reading the version before it, so that no version is ever left out, and creates items
whose ids are the versions, so that none is written twice.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from zekt_common.adapters.cosmos_append_times import AppendTimes, Timing
from zekt_common.adapters.cosmos_change_feed import CosmosChangeFeed
from zekt_common.adapters.cosmos_container import CosmosContainer, Operation
from zekt_common.adapters.cosmos_errors import EXISTS, FOUND_NOT, TOO_LARGE, CosmosRefused
from zekt_common.append_limits import check_append, too_many_bytes
from zekt_common.clock import Clock, utc_now
from zekt_common.envelope import (
    EncodedEvent,
    Envelope,
    NewEvent,
    check_stream,
    decode_page,
    encode,
    encode_event,
    new_commit_id,
    seal_encoded,
)
from zekt_common.errors import BackendUnavailable, StreamConflict
from zekt_common.ports.event_store import FeedPage
from zekt_common.telemetry.metrics import EVENTS_APPENDED

ATTEMPTS: Final = 3
_VERSION_DIGITS: Final = 10
_STREAM: Final = "SELECT c.event FROM c WHERE c.version > @after ORDER BY c.version"
_HEAD: Final = "SELECT VALUE c.version FROM c ORDER BY c.version DESC"


class CosmosEventStore:
    """The `EventStore` port over one service's container of events."""

    def __init__(self, container: CosmosContainer, *, clock: Clock = utc_now, timing: Timing | None = None) -> None:
        self._container = container
        self._times = AppendTimes(container, clock, timing or Timing())
        self._feed = CosmosChangeFeed(container, self._times)

    async def append(self, stream: str, events: Sequence[NewEvent], /, *, expected_version: int) -> list[Envelope]:
        """Append all of `events` or none; see `EventStore.append`.

        Raises:
            BackendUnavailable: there was no answer in time: the events may be stored, as asking again will show.
        """
        check_stream(stream)
        if not events:
            return []
        encoded = [encode_event(event) for event in events]
        check_append(stream, encoded)
        envelopes = await self._commit_in_time(_Append(stream, expected_version, encoded))
        self._times.note(envelopes[-1])
        self._feed.wake()
        for envelope in envelopes:
            EVENTS_APPENDED.add(type=envelope.type)
        return envelopes

    async def read(self, stream: str, /, *, after: int = 0) -> list[Envelope]:
        """Return the stream's events above version `after`."""
        items = await self._container.query(stream, _STREAM, {"@after": after})
        envelopes = decode_page("[" + ",".join(item["event"] for item in items) + "]")
        if envelopes:
            self._times.note(envelopes[-1])
        return envelopes

    async def feeds(self) -> Sequence[str]:
        """Return a feed for each range that the container's partitions had when it was first read."""
        return await self._feed.names()

    async def read_feed(self, feed: str, /, cursor: str = "", limit: int = 1000) -> FeedPage:
        """Return a page of one range of the change feed."""
        return await self._feed.page(feed, cursor, limit)

    async def cursor_at(self, feed: str, moment: datetime, /) -> str:
        """Return a cursor that begins at the beginning and passes over what was stamped before `moment`."""
        return self._feed.cursor_at(feed, moment)

    async def wait(self, feed: str, cursor: str, /, *, timeout_s: float) -> bool:
        """Wait for an event after `cursor`: this process's own at once, others' by looking every 250 ms."""
        return await self._feed.wait(feed, cursor, timeout_s)

    async def horizon(self) -> datetime:
        """Return a time that lies back by more than any append may take, on whichever machine."""
        return self._times.horizon()

    async def _commit_in_time(self, append: "_Append") -> list[Envelope]:
        """Commit with the present time; what takes longer than a stamp may be old is given up and stamped anew."""
        for _ in range(ATTEMPTS):
            time = await self._times.stamp(append.stream, append.expected_version)
            try:
                async with asyncio.timeout(self._times.timing.attempt_within_s):
                    return await self._commit(append, append.sealed(time))
            except TimeoutError:
                continue
        raise BackendUnavailable(f"{self._container.name}: an append to {append.stream} was not answered in time")

    async def _commit(self, append: "_Append", envelopes: list[Envelope]) -> list[Envelope]:
        try:
            answers = await self._container.batch(append.stream, append.operations(envelopes))
        except CosmosRefused as refused:
            if refused.status in (EXISTS, FOUND_NOT):
                return await self._stored_or_conflict(append)
            if refused.status == TOO_LARGE:
                raise too_many_bytes(append.stream) from None
            raise
        self._times.check(envelopes[-1], answers[-1])
        return envelopes

    async def _stored_or_conflict(self, append: "_Append") -> list[Envelope]:
        """Return the events if it was an earlier try of ours that took their place, its answer having been lost.

        Raises:
            StreamConflict: it was somebody else, or the stream is shorter than expected.
        """
        stored = await self.read(append.stream, after=append.expected_version)
        ours = [envelope for envelope in stored if envelope.commitid == append.commitid]
        if ours:
            return ours
        actual = stored[-1].version if stored else await self._head(append.stream)
        raise StreamConflict(append.stream, expected=append.expected_version, actual=actual)

    async def _head(self, stream: str) -> int:
        heads = await self._container.query(stream, _HEAD, {}, limit=1)
        return int(heads[0]) if heads else 0


class _Append:
    """One append under its commit id, which stays the same however often it is sent."""

    def __init__(self, stream: str, expected_version: int, events: Sequence[EncodedEvent]) -> None:
        self.stream = stream
        self.expected_version = expected_version
        self.commitid = new_commit_id()
        self._events = events

    def sealed(self, time: datetime) -> list[Envelope]:
        return [
            seal_encoded(event, stream=self.stream, version=version, commitid=self.commitid, time=time)
            for version, event in enumerate(self._events, start=self.expected_version + 1)
        ]

    def operations(self, envelopes: Sequence[Envelope]) -> list[Operation]:
        guard: list[Operation] = [("read", (item_id(self.expected_version),), {})] if self.expected_version else []
        return [*guard, *(("create", (event_item(envelope),), {}) for envelope in envelopes)]


def item_id(version: int) -> str:
    """Return the id of the item that holds this version of its stream."""
    return f"{version:0{_VERSION_DIGITS}d}"


def event_item(envelope: Envelope) -> dict[str, Any]:
    """Return the item of an event; the envelope is kept as text, so that every engine holds the same bytes."""
    return {
        "id": item_id(envelope.version),
        "streamId": envelope.stream,
        "version": envelope.version,
        "type": envelope.type,
        "commitId": envelope.commitid,
        "event": encode(envelope).decode(),
    }
