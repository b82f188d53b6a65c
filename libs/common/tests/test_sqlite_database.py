import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.errors import StorageUnusable

NUMBERS = "CREATE TABLE numbers (n INTEGER PRIMARY KEY) STRICT"


OUTSIDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("INSERT INTO numbers VALUES (1)")
connection.commit()
"""


def insert(connection: sqlite3.Connection, batch: Sequence[int]) -> list[int | Exception]:
    connection.executemany("INSERT INTO numbers VALUES (?)", [(n,) for n in batch])
    return list(batch)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = await SqliteDatabase.open(tmp_path / "numbers.db", [NUMBERS])
    yield opened
    await opened.close()


@pytest.fixture
def open_directory(tmp_path: Path) -> Iterator[Path]:
    """A directory that others may look into, where files are for everybody unless they are made otherwise."""
    tmp_path.chmod(0o755)
    before = os.umask(0o022)
    yield tmp_path
    os.umask(before)


def modes(directory: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in directory.iterdir()}


async def test_its_files_are_their_owners_alone_wherever_they_are(open_directory: Path) -> None:
    database = await SqliteDatabase.open(open_directory / "numbers.db", [NUMBERS])
    await database.write(insert, 1)
    made = modes(open_directory)
    await database.close()
    assert made == dict.fromkeys(("numbers.db", "numbers.db-wal", "numbers.db-shm", "numbers.db.lock"), 0o600)


async def test_concurrent_writes_share_commits(database: SqliteDatabase) -> None:
    await asyncio.gather(*(database.write(insert, n, news=["notes"]) for n in range(200)))
    assert len(database.query("SELECT n FROM numbers")) == 200
    assert 0 < database.revision("notes") < 50


async def test_a_write_that_fails_alone_leaves_its_companions_committed(database: SqliteDatabase) -> None:
    await database.write(insert, 7)
    results = await asyncio.gather(*(database.write(insert, n) for n in (6, 7, 8)), return_exceptions=True)
    assert [type(result) for result in results] == [int, StorageUnusable, int]
    assert database.query("SELECT n FROM numbers ORDER BY n") == [(6,), (7,), (8,)]


async def test_a_refusal_reaches_its_own_caller_only(database: SqliteDatabase) -> None:
    def odd_only(_: sqlite3.Connection, batch: Sequence[int]) -> list[int | Exception]:
        return [n if n % 2 else ValueError(n) for n in batch]

    results = await asyncio.gather(*(database.write(odd_only, n) for n in range(4)), return_exceptions=True)
    assert [type(result) for result in results] == [ValueError, int, ValueError, int]


async def test_writes_go_to_the_disk_unless_they_need_not(database: SqliteDatabase) -> None:
    modes: list[int] = []

    def look(connection: sqlite3.Connection, batch: Sequence[None]) -> list[None]:
        modes.append(connection.execute("PRAGMA synchronous").fetchone()[0])
        return [None] * len(batch)

    await database.write(look, None)
    await database.write(look, None, durable=False)
    await database.write(look, None)
    full, normal = 2, 1
    assert modes == [full, normal, full]


async def test_a_waiter_wakes_on_a_commit_of_its_own_process(database: SqliteDatabase) -> None:
    waiting = asyncio.create_task(database.wait("notes", database.revision("notes"), timeout_s=60))
    await asyncio.sleep(0)
    await database.write(insert, 1, news=["notes"])
    assert await waiting


async def test_a_waiter_sleeps_through_a_commit_that_is_no_news_of_its_topic(database: SqliteDatabase) -> None:
    before = database.revision("notes")
    await database.write(insert, 1, news=["others"])
    assert database.revision("notes") == before


async def test_a_waiter_wakes_on_a_commit_of_another_process(database: SqliteDatabase) -> None:
    waiting = asyncio.create_task(database.wait("notes", database.revision("notes"), timeout_s=60))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", OUTSIDER, str(database.path))
    assert await waiting
    assert await process.wait() == 0


async def test_waiting_ends_at_its_time_out(database: SqliteDatabase) -> None:
    await database.write(insert, 1)
    while await database.wait("notes", database.revision("notes"), timeout_s=0.02):
        pass  # the poll may still be telling of our own commit
    assert not await database.wait("notes", database.revision("notes"), timeout_s=0.02)


async def test_a_file_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "newer.db"
    await (await SqliteDatabase.open(path, [NUMBERS, "CREATE TABLE more (n) "])).close()
    with pytest.raises(StorageUnusable, match="schema version 2, this program knows 1"):
        await SqliteDatabase.open(path, [NUMBERS])


async def test_a_file_is_migrated_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "older.db"
    await (await SqliteDatabase.open(path, [NUMBERS])).close()
    database = await SqliteDatabase.open(path, [NUMBERS, "ALTER TABLE numbers ADD COLUMN name TEXT"])
    assert database.query("SELECT name FROM pragma_table_info('numbers')") == [("n",), ("name",)]
    await database.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "letter.db"
    path.write_text("Dear reader, " * 1000)
    with pytest.raises(StorageUnusable, match="not a database"):
        await SqliteDatabase.open(path, [NUMBERS])


async def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.db"
    foreign = sqlite3.connect(path)
    foreign.execute("PRAGMA application_id = 42")
    foreign.close()
    with pytest.raises(StorageUnusable, match="not a Zekt database"):
        await SqliteDatabase.open(path, [NUMBERS])


async def test_a_full_disk_fails_the_write_and_keeps_the_file_usable(database: SqliteDatabase) -> None:
    def limit_pages(connection: sqlite3.Connection, batch: Sequence[int]) -> list[None]:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages if batch[0] else 1_000_000}")
        return [None]

    await database.write(limit_pages, 1)
    with pytest.raises(StorageUnusable, match="full"):
        await asyncio.gather(*(database.write(insert, n) for n in range(10_000)))
    await asyncio.gather(*(database.write(insert, n) for n in range(20_000, 20_010)), return_exceptions=True)
    await database.write(limit_pages, 0)
    await database.write(insert, 1_000_000)


async def test_writing_to_a_closed_database_is_an_error(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(tmp_path / "closed.db", [NUMBERS])
    await database.close()
    with pytest.raises(StorageUnusable, match="closed"):
        await database.write(insert, 1)


WRITER = """
import asyncio, sqlite3, sys
from pathlib import Path
from zekt_common.adapters.sqlite_database import SqliteDatabase

def insert(connection, batch):
    connection.executemany("INSERT INTO numbers VALUES (?)", [(n,) for n in batch])
    return batch

async def main(path, start):
    database = await SqliteDatabase.open(Path(path), ["CREATE TABLE numbers (n INTEGER PRIMARY KEY) STRICT"])
    await asyncio.gather(*(database.write(insert, n) for n in range(start, start + 1000)))
    await database.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def test_processes_take_turns_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(start)], env=os.environ)  # noqa: S603 - our own code
        for start in range(0, 4000, 1000)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0, 0]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM numbers").fetchone() == (4000,)
    connection.close()
