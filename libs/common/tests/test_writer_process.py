import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_event_store import EVENT_TABLES, FEED, SqliteEventStore
from zekt_common.adapters.sqlite_writer_process import WriterProcess
from zekt_common.contracts.ingress import Watermark
from zekt_common.envelope import NewEvent
from zekt_common.errors import StorageUnusable, StreamConflict


@pytest.fixture
async def process() -> AsyncIterator[WriterProcess]:
    started = WriterProcess()
    yield started
    await started.stop()


@pytest.fixture
async def database(tmp_path: Path, process: WriterProcess) -> AsyncIterator[SqliteDatabase]:
    opened = await SqliteDatabase.open(tmp_path / "events.db", [EVENT_TABLES], committer=process)
    yield opened
    await opened.close()


def pid_of(process: WriterProcess) -> int:
    assert process.pid is not None
    return process.pid


def happened() -> NewEvent:
    body = Watermark(through=datetime(2026, 1, 1, tzinfo=UTC))
    return NewEvent(body=body, source="zekt/test", subject="1/2", correlationid="1/2", causationid="test")


async def test_a_process_commits_and_answers_in_order(database: SqliteDatabase) -> None:
    store = SqliteEventStore(database)
    appended = await asyncio.gather(*(store.append(f"s/{n}", [happened()], expected_version=0) for n in range(300)))
    assert [envelopes[0].id for envelopes in appended] == [f"s/{n}@1" for n in range(300)]
    assert len((await store.read_feed(FEED)).events) == 300


async def test_a_conflict_comes_back_from_the_process_as_it_is(database: SqliteDatabase) -> None:
    store = SqliteEventStore(database)
    await store.append("s/1", [happened()], expected_version=0)
    with pytest.raises(StreamConflict) as conflict:
        await store.append("s/1", [happened()], expected_version=0)
    assert (conflict.value.stream, conflict.value.expected, conflict.value.actual) == ("s/1", 0, 1)


async def test_one_process_commits_to_many_files(tmp_path: Path, process: WriterProcess) -> None:
    files = [await SqliteDatabase.open(tmp_path / f"{n}.db", [EVENT_TABLES], committer=process) for n in range(3)]
    stores = [SqliteEventStore(file) for file in files]
    appending = [store.append(f"s/{n}", [happened()], expected_version=0) for n in range(100) for store in stores]
    await asyncio.gather(*appending)
    for file, store in zip(files, stores, strict=True):
        assert len((await store.read_feed(FEED)).events) == 100
        await file.close()


async def test_what_was_submitted_before_closing_is_committed(tmp_path: Path, process: WriterProcess) -> None:
    path = tmp_path / "events.db"
    database = await SqliteDatabase.open(path, [EVENT_TABLES], committer=process)
    store = SqliteEventStore(database)
    writing = [asyncio.create_task(store.append(f"s/{n}", [happened()], expected_version=0)) for n in range(50)]
    await asyncio.sleep(0)
    await database.close()
    assert len(await asyncio.gather(*writing)) == 50


async def test_the_death_of_the_process_fails_its_writes_and_another_one_takes_over(
    database: SqliteDatabase, process: WriterProcess
) -> None:
    store = SqliteEventStore(database)
    await store.append("s/1", [happened()], expected_version=0)
    os.kill(pid_of(process), signal.SIGSTOP)
    stuck = asyncio.create_task(store.append("s/1", [happened()], expected_version=1))
    await asyncio.sleep(0)
    os.kill(pid_of(process), signal.SIGKILL)
    with pytest.raises(StorageUnusable, match="another one takes its place"):
        await stuck
    known = len(await store.read("s/1"))
    assert (await store.append("s/1", [happened()], expected_version=known))[0].version == known + 1


async def test_a_process_that_cannot_be_started_again_at_first_takes_over_later(
    database: SqliteDatabase, process: WriterProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, refusals = SqliteEventStore(database), iter([OSError("too many open files")] * 3)
    start = subprocess.Popen

    def out_of_files(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        for refusal in refusals:
            raise refusal
        return start(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", out_of_files)
    os.kill(pid_of(process), signal.SIGKILL)
    refused = 0
    while True:
        try:
            await store.append("s/1", [happened()], expected_version=0)
        except StorageUnusable:
            refused += 1
        else:
            break
    assert refused >= 1
