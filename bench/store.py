"""(c) The event store: concurrent appends beside the `eventsourcing` library's SQLite recorder, and replay."""

import asyncio
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteAggregateRecorder, SQLiteDatastore

from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_event_store import EVENT_TABLES, FEED, SqliteEventStore
from zekt_common.envelope import Event, NewEvent
from zekt_common.schemas import Schemas

APPENDERS = 64
APPENDS_EACH = 100
REPLAYED = 200_000
EVENTS_AT_ONCE = 80
ROUNDS = 3
FULL = 2


class Happened(Event, frozen=True, kw_only=True):
    """A small event, of the size of a run's facts."""

    TYPE: ClassVar[str] = "dev.zekt.bench.happened"

    repository_id: int
    run_id: int
    workflow: str
    conclusion: str


def event(number: int) -> NewEvent:
    """Return an event to append."""
    body = Happened(repository_id=1, run_id=number, workflow=".github/workflows/ci.yml", conclusion="success")
    return NewEvent(body=body, source="zekt/bench", subject="1/2", correlationid="1/2", causationid="bench")


async def zekt_appends(directory: Path) -> float:
    """Return our appends per second: 64 tasks, one event each time, each to a new stream."""
    database = await SqliteDatabase.open(directory / f"{uuid4()}.db", [EVENT_TABLES])
    store = SqliteEventStore(database)

    async def appender(number: int) -> None:
        for turn in range(APPENDS_EACH):
            await store.append(f"stream/{number}/{turn}", [event(turn)], expected_version=0)

    started = time.perf_counter()
    await asyncio.gather(*(appender(number) for number in range(APPENDERS)))
    elapsed_s = time.perf_counter() - started
    await database.close()
    return APPENDERS * APPENDS_EACH / elapsed_s


def library_appends(directory: Path) -> float:
    """Return the library's appends per second: 64 threads, the same pragmas (WAL, synchronous=FULL)."""
    datastore = SQLiteDatastore(str(directory / f"{uuid4()}.db"))
    recorder = SQLiteAggregateRecorder(datastore)
    recorder.create_table()
    with datastore.get_connection(commit=False) as connection:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous")
        assert cursor.fetchone()[0] == FULL, "the library's default has changed: compare under the same pragmas"

    def appender() -> None:
        for _ in range(APPENDS_EACH):
            stored = StoredEvent(uuid4(), 1, "bench:Happened", b'{"run_id": 1, "conclusion": "success"}' * 8)
            recorder.insert_events([stored])

    threads = [threading.Thread(target=appender) for _ in range(APPENDERS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed_s = time.perf_counter() - started
    datastore.close()
    return APPENDERS * APPENDS_EACH / elapsed_s


async def replay(directory: Path) -> float:
    """Return events per second read from the feed and decoded to their classes, from a file just written."""
    database = await SqliteDatabase.open(directory / f"{uuid4()}.db", [EVENT_TABLES])
    store = SqliteEventStore(database)
    for start in range(0, REPLAYED, EVENTS_AT_ONCE):
        events = [event(start + n) for n in range(EVENTS_AT_ONCE)]
        await store.append(f"stream/{start}", events, expected_version=0)
    schemas, cursor, count = Schemas([Happened]), "", 0
    started = time.perf_counter()
    while (page := await store.read_feed(FEED, cursor)).events:
        for envelope in page.events:
            schemas.decode(envelope)
        cursor, count = page.cursor, count + len(page.events)
    elapsed_s = time.perf_counter() - started
    assert count == REPLAYED
    await database.close()
    return count / elapsed_s


def run() -> dict[str, Any]:
    """Measure in alternating rounds and return the medians."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        ours, theirs, replays = [], [], []
        for _ in range(ROUNDS):
            theirs.append(library_appends(directory))
            ours.append(asyncio.run(zekt_appends(directory)))
            replays.append(asyncio.run(replay(directory)))
    middle = ROUNDS // 2
    result = {"zekt": sorted(ours)[middle], "eventsourcing": sorted(theirs)[middle], "replay": sorted(replays)[middle]}
    result["ratio"] = result["zekt"] / result["eventsourcing"]
    return result


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:>14} {value:12,.1f}")
