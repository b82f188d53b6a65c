"""One SQLite file: a group-commit writer, a reader for the event loop, and word of every commit.

While one commit is on its way to the disk the next batch gathers, so that many concurrent writers pay for one fsync.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zekt_common.adapters.sqlite_file import connect, disconnect, migrate, translated
from zekt_common.adapters.sqlite_group_commit import BatchWrite, GroupCommit, Item, Result, Write
from zekt_common.adapters.sqlite_writers import ProcessWriter, ThreadWriter, Writer

POLL_S = 0.003


class SqliteDatabase:
    """A database file shared by any number of tasks and processes; open it with `open`."""

    writer: Writer

    def __init__(self, path: Path, reader: sqlite3.Connection) -> None:
        self.path = path
        self.revision = 0
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._waiters: list[asyncio.Future[None]] = []
        self._poll: asyncio.TimerHandle | None = None
        self._seen_version = 0

    @classmethod
    async def open(
        cls, path: Path, migrations: Sequence[str], *, secure_delete: bool = False, writer_process: bool = False
    ) -> "SqliteDatabase":
        """Open or create the file and bring it to the newest schema: `migrations[n]` leads to schema version n + 1.

        With `writer_process` another process commits, for files under a flood of writes; then every `apply` must be a
        module-level function, and every item picklable.

        Raises:
            StorageUnusable: the file cannot be read or written, is no Zekt database, or is newer than this program.
        """
        with translated(path):
            reader = connect(path)
            try:
                migrate(reader, path, migrations)
                database = cls(path, reader)
                if writer_process:
                    writer = ProcessWriter(path, database.settle, secure_delete=secure_delete)
                    await writer.start()
                    database.writer = writer
                else:
                    database.writer = ThreadWriter(
                        path, GroupCommit(path, secure_delete=secure_delete), database.settle
                    )
            except BaseException:
                disconnect(path, reader)
                raise
        return database

    async def write(self, apply: BatchWrite[Item, Result], item: Item, *, durable: bool = True) -> Result:
        """Run `apply` over this item and its like in one transaction, and return this item's result once committed.

        `apply` answers an exception for an item that it refused without having written anything for it. Durable
        writes are on the disk when this returns; others survive the death of the process, not of the machine.

        Raises:
            StorageUnusable: the transaction failed (disk full, file gone, I/O error); nothing of it was kept.
        """
        done: asyncio.Future[Any] = self._loop.create_future()
        self.writer.submit(Write(apply, item, durable), done)
        result: Result = await done
        return result

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a short read, on the loop's own connection; reads never wait for writers.

        Raises:
            StorageUnusable: the file cannot be read.
        """
        with translated(self.path):
            return self._reader.execute(sql, parameters).fetchall()

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
        await self.writer.stop()
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None
        disconnect(self.path, self._reader)

    def settle(self, settled: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
        """Answer the callers of committed writes, and wake whoever waits for a commit; the writer calls this."""
        for done, result in settled:
            if done.done():
                continue
            if isinstance(result, Exception):
                done.set_exception(result)
            else:
                done.set_result(result)
        self._has_changed()  # our own commits wake once, here, and not again at the next look
        self._wake()

    def _wake(self) -> None:
        self.revision += 1
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _look(self) -> None:
        """See whether another process has committed; look again while somebody waits."""
        if self._has_changed():
            self._wake()
        self._poll = self._loop.call_later(POLL_S, self._look) if self._waiters else None

    def _has_changed(self) -> bool:
        """Tell whether anybody has committed since the last call."""
        try:
            version: int = self._reader.execute("PRAGMA data_version").fetchall()[0][0]
        except sqlite3.Error:
            return False
        changed, self._seen_version = version != self._seen_version, version
        return changed
