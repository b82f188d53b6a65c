"""The event store on SQLite: one table, one feed, the position in the file as the cursor.

`time` is stamped under the writer lock, so it never runs backwards along the feed, whichever process appends.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import datetime

import msgspec

from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_statements import insert_rows
from zekt_common.append_limits import check_append
from zekt_common.clock import Clock, from_micros, to_micros, utc_now
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
from zekt_common.errors import StreamConflict
from zekt_common.ports.event_store import FeedPage
from zekt_common.telemetry.metrics import EVENTS_APPENDED

FEED = "all"
_NEWS = (FEED,)

EVENT_TABLES = """
    CREATE TABLE events (
        position INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        version INTEGER NOT NULL,
        time INTEGER NOT NULL,
        body TEXT NOT NULL,
        UNIQUE (stream, version)
    ) STRICT
"""

_HEADS = """
    SELECT json_group_array((SELECT max(version) FROM events WHERE stream = wanted.value)),
           (SELECT time FROM events ORDER BY position DESC LIMIT 1)
    FROM json_each(?) AS wanted
"""
_STREAM = """
    SELECT '[' || group_concat(body) || ']'
    FROM (SELECT body FROM events WHERE stream = ? AND version > ? ORDER BY version)
"""
_FEED_PAGE = """
    SELECT max(position), '[' || group_concat(body) || ']'
    FROM (SELECT position, body FROM events WHERE position > ? ORDER BY position LIMIT ?)
"""


class _Append(msgspec.Struct, frozen=True, gc=False):
    stream: str
    events: list[EncodedEvent]
    expected_version: int
    clock: Clock


class _Stamp(msgspec.Struct, frozen=True, gc=False):
    """What a commit gives to the events of one append: with it, whoever appended knows them as they are stored."""

    commitid: str
    micros: int


class SqliteEventStore:
    """The `EventStore` port over one database file with the table in `EVENT_TABLES`."""

    def __init__(self, database: SqliteDatabase, *, clock: Clock = utc_now) -> None:
        self._database = database
        self._clock = clock

    async def append(self, stream: str, events: Sequence[NewEvent], /, *, expected_version: int) -> list[Envelope]:
        """Append all of `events` or none; see `EventStore.append`."""
        check_stream(stream)
        if not events:
            return []
        encoded = [encode_event(event) for event in events]
        check_append(stream, encoded)
        append = _Append(stream, encoded, expected_version, self._clock)
        stamp = await self._database.write(_append, append, news=_NEWS)
        for event in encoded:
            EVENTS_APPENDED.add(type=event.type)
        return _sealed(append, stamp)

    async def read(self, stream: str, /, *, after: int = 0) -> list[Envelope]:
        """Return the stream's events above version `after`."""
        ((page,),) = self._database.query(_STREAM, (stream, after))
        return decode_page(page) if page else []

    async def feeds(self) -> Sequence[str]:
        """Return the file's single feed."""
        return (FEED,)

    async def read_feed(self, feed: str, /, cursor: str = "", limit: int = 1000) -> FeedPage:
        """Return a page of the feed; a cursor is a position in the file."""
        del feed
        ((position, page),) = self._database.query(_FEED_PAGE, (int(cursor or 0), limit))
        if not page:
            return FeedPage([], cursor)
        events = decode_page(page)
        return FeedPage(events, str(position), events[-1].time)

    async def cursor_at(self, feed: str, moment: datetime, /) -> str:
        """Find the cursor before `moment` by bisection, since time never runs backwards along positions."""
        del feed
        wanted = to_micros(moment)
        low, high = 0, self._head()
        while low < high:
            middle = (low + high + 1) // 2
            ((time,),) = self._database.query("SELECT time FROM events WHERE position = ?", (middle,))
            low, high = (middle, high) if time < wanted else (low, middle - 1)
        return str(low) if low else ""

    async def wait(self, feed: str, cursor: str, /, *, timeout_s: float) -> bool:
        """Wait for an event after `cursor`; commits of other processes are seen too."""
        del feed
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            revision = self._database.revision(FEED)
            if self._head() > int(cursor or 0):
                return True
            remaining_s = deadline - loop.time()
            if remaining_s <= 0:
                return False
            await self._database.wait(FEED, revision, remaining_s)  # what wakes us need not be an event

    async def horizon(self) -> datetime:
        """Pass through the writer lock: every later commit is stamped after this time."""
        micros = await self._database.write(_horizon, self._clock, durable=False)
        return from_micros(micros)

    def _head(self) -> int:
        ((head,),) = self._database.query("SELECT max(position) FROM events")
        return head or 0


def _append(connection: sqlite3.Connection, batch: Sequence[_Append]) -> list[_Stamp | Exception]:
    streams = [append.stream for append in batch]
    ((versions, last_micros),) = connection.execute(_HEADS, (msgspec.json.encode(streams).decode(),)).fetchall()
    heads = dict(zip(streams, (head or 0 for head in msgspec.json.decode(versions)), strict=True))
    micros = max(to_micros(batch[0].clock()), (last_micros or 0) + 1)
    results: list[_Stamp | Exception] = []
    rows: list[str | int] = []
    for append in batch:
        head = heads[append.stream]
        if head != append.expected_version:
            results.append(StreamConflict(append.stream, expected=append.expected_version, actual=head))
            continue
        stamp = _Stamp(new_commit_id(), micros)
        heads[append.stream] = head + len(append.events)
        for event in _sealed(append, stamp):
            rows += (append.stream, event.version, micros, encode(event).decode())
        results.append(stamp)
    insert_rows(connection, "INSERT INTO events (stream, version, time, body)", 4, rows)
    return results


def _horizon(connection: sqlite3.Connection, batch: Sequence[Clock]) -> list[int]:
    rows = connection.execute("SELECT time FROM events ORDER BY position DESC LIMIT 1").fetchall()
    last_micros: int = rows[0][0] if rows else 0
    return [max(to_micros(batch[0]()) - 1, last_micros)] * len(batch)


def _sealed(append: _Append, stamp: _Stamp) -> list[Envelope]:
    time = from_micros(stamp.micros)
    return [
        seal_encoded(event, stream=append.stream, version=version, commitid=stamp.commitid, time=time)
        for version, event in enumerate(append.events, start=append.expected_version + 1)
    ]
