"""One SQLite file: a group-commit writer, a reader for the event loop, and word of every commit.

Writes of one loop share transactions: while one commit is on its way to the disk the next batch gathers, so that
many concurrent writers pay for one fsync. A writer thread runs them, with few and large SQLite calls, because every
call gives up the GIL and must win it back.
"""

import asyncio
import contextlib
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from zekt_common.errors import StorageUnusable

Item = TypeVar("Item")
Result = TypeVar("Result")
BatchWrite = Callable[[sqlite3.Connection, Sequence[Item]], Sequence[Result | Exception]]

MAX_BATCH = 256
POLL_S = 0.003
CACHED_STATEMENTS = 512
APPLICATION_ID = 0x5A454B54  # "ZEKT"


class _Write(msgspec.Struct, gc=False):
    apply: BatchWrite[Any, Any]
    item: Any
    durable: bool
    done: asyncio.Future[Any]


class SqliteDatabase:
    """A database file shared by any number of tasks and processes; open it with `open`."""

    def __init__(self, path: Path, reader: sqlite3.Connection, writer: "_Writer") -> None:
        self.path = path
        self.reader = reader
        self.revision = 0
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._waiters: list[asyncio.Future[None]] = []
        self._poll: asyncio.TimerHandle | None = None
        self._seen_version = 0
        writer.start(self._loop, self._settle)

    @classmethod
    async def open(cls, path: Path, migrations: Sequence[str], *, secure_delete: bool = False) -> "SqliteDatabase":
        """Open or create the file and bring it to the newest schema: `migrations[n]` leads to schema version n + 1.

        Raises:
            StorageUnusable: the file cannot be read or written, is no Zekt database, or is newer than this program.
        """
        try:
            connection = _connect(path, secure_delete=secure_delete)
            try:
                with _exclusive(path):
                    _migrate(connection, path, migrations)
                return cls(path, _connect(path), _Writer(path, connection))
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise _unusable(path, error) from error

    async def write(self, apply: BatchWrite[Item, Result], item: Item, *, durable: bool = True) -> Result:
        """Run `apply` over this item and its like in one transaction, and return this item's result once committed.

        `apply` answers an exception for an item that it refused without having written anything for it. Durable
        writes are on the disk when this returns; others survive the death of the process, not of the machine.

        Raises:
            StorageUnusable: the transaction failed (disk full, file gone, I/O error); nothing of it was kept.
        """
        done: asyncio.Future[Any] = self._loop.create_future()
        self._writer.submit(_Write(apply, item, durable, done))
        result: Result = await done
        return result

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a short read, on the loop's own connection; reads never wait for writers.

        Raises:
            StorageUnusable: the file cannot be read.
        """
        try:
            return self.reader.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error

    async def wait(self, revision: int, timeout_s: float) -> bool:
        """Return True once `revision` is no longer the current one: somebody, in any process, has committed.

        Read `self.revision` before looking at the data, so that a commit in between is not missed.
        """
        if self.revision != revision:
            return True
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        self._poll = self._poll or self._loop.call_later(POLL_S, self._look)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return False
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        return True

    async def close(self) -> None:
        """Finish what was submitted, then close the file."""
        await asyncio.to_thread(self._writer.stop)
        await asyncio.sleep(0)  # the last commits settle their callers before the connections go
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None
        self.reader.close()

    def _settle(self, settled: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
        for done, result in settled:
            if done.done():
                continue
            if isinstance(result, Exception):
                done.set_exception(result)
            else:
                done.set_result(result)
        self._wake()

    def _wake(self) -> None:
        self.revision += 1
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _look(self) -> None:
        """See whether another process has committed; look again while somebody waits."""
        with contextlib.suppress(sqlite3.Error):
            version: int = self.reader.execute("PRAGMA data_version").fetchall()[0][0]
            if version != self._seen_version:
                self._seen_version = version
                self._wake()
        self._poll = self._loop.call_later(POLL_S, self._look) if self._waiters else None


class _Writer:
    """The thread that owns the writing connection and turns queued writes into transactions."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"zekt-writer-{path.stem}", daemon=True)
        self._lock_file = os.open(_lock_path(path), os.O_RDWR | os.O_CREAT, 0o600)
        self._synced = True
        self._stopped = False

    def start(
        self, loop: asyncio.AbstractEventLoop, settle: Callable[[Sequence[tuple[asyncio.Future[Any], Any]]], None]
    ) -> None:
        self._loop, self._settle = loop, settle
        self._thread.start()

    def submit(self, write: _Write) -> None:
        if self._stopped:
            raise StorageUnusable(f"{self._path.name} is closed")
        self._queue.put(write)

    def stop(self) -> None:
        self._stopped = True
        self._queue.put(None)
        self._thread.join()
        self._connection.close()
        os.close(self._lock_file)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, last = self._gather(first)
            settled = self._commit(batch)
            self._loop.call_soon_threadsafe(self._settle, settled)
            if last:
                return

    def _gather(self, first: _Write) -> tuple[list[_Write], bool]:
        batch = [first]
        for _ in range(min(self._queue.qsize(), MAX_BATCH - 1)):
            write = self._queue.get_nowait()
            if write is None:
                return batch, True
            batch.append(write)
        return batch, False

    def _commit(self, batch: list[_Write]) -> list[tuple[asyncio.Future[Any], Any]]:
        try:
            return self._transaction(batch)
        except Exception as error:  # noqa: BLE001 - whatever went wrong belongs to the callers, not to this thread
            if len(batch) > 1:
                return [settled for write in batch for settled in self._commit([write])]
            translated = _unusable(self._path, error) if isinstance(error, sqlite3.Error | OSError) else error
            return [(batch[0].done, translated)]

    def _transaction(self, batch: list[_Write]) -> list[tuple[asyncio.Future[Any], Any]]:
        self._sync(durable=any(write.durable for write in batch))
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                settled = self._apply(batch)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)
        return settled

    def _apply(self, batch: list[_Write]) -> list[tuple[asyncio.Future[Any], Any]]:
        kinds: dict[BatchWrite[Any, Any], list[_Write]] = {}
        for write in batch:
            kinds.setdefault(write.apply, []).append(write)
        settled: list[tuple[asyncio.Future[Any], Any]] = []
        for apply, writes in kinds.items():
            results = apply(self._connection, [write.item for write in writes])
            settled += [(write.done, result) for write, result in zip(writes, results, strict=True)]
        return settled

    def _sync(self, *, durable: bool) -> None:
        if durable != self._synced:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._synced = durable


def _connect(path: Path, *, secure_delete: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=5.0, isolation_level=None, check_same_thread=False, cached_statements=CACHED_STATEMENTS
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        connection.execute("PRAGMA cache_size = -16384")
        connection.execute(f"PRAGMA secure_delete = {'ON' if secure_delete else 'OFF'}")
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
    if owner not in (0, APPLICATION_ID):
        raise StorageUnusable(f"{path} is not a Zekt database: move it away or choose another ZEKT_DATA_DIR")
    if version > len(migrations):
        raise StorageUnusable(
            f"{path} has schema version {version}, this program knows {len(migrations)}: run the newer Zekt"
        )
    for target, script in enumerate(migrations[version:], start=version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {script}; PRAGMA application_id = {APPLICATION_ID}; "
            f"PRAGMA user_version = {target}; COMMIT;"
        )


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


@contextlib.contextmanager
def _exclusive(path: Path) -> Any:
    """Hold the file's writer lock: the kernel queues the waiting, where SQLite would poll."""
    lock_file = os.open(_lock_path(path), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock_file)


def _unusable(path: Path, error: Exception) -> StorageUnusable:
    return StorageUnusable(f"{path}: {error}")
