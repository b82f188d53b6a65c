"""One SQLite file: a group-commit writer, a reader for the event loop, and word of every commit.

While one commit is on its way to the disk the next batch gathers, so that many concurrent writers pay for one fsync.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal

from zekt_common.adapters.sqlite_file import connect, disconnect, migrate, sync_log, translated
from zekt_common.adapters.sqlite_group_commit import (
    BatchWrite,
    GroupCommit,
    Item,
    Result,
    Submission,
    Write,
    Writer,
)
from zekt_common.adapters.sqlite_loop_writer import LoopWriter
from zekt_common.adapters.sqlite_process_writer import ProcessWriter
from zekt_common.adapters.sqlite_thread_writer import ThreadWriter
from zekt_common.adapters.sqlite_writer_process import WriterProcess

POLL_S = 0.002
Committer = Literal["thread", "loop"] | WriterProcess


class SqliteDatabase:
    """A database file shared by any number of tasks and processes; open it with `open`."""

    writer: Writer

    def __init__(self, path: Path, reader: sqlite3.Connection) -> None:
        self.path = path
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._revisions: Counter[str] = Counter()
        self._others_revision = 0
        self._waiters: dict[asyncio.Future[bool], str] = {}
        self._poll: asyncio.TimerHandle | None = None
        self._seen_version = 0

    @classmethod
    async def open(
        cls, path: Path, migrations: Sequence[str], *, secure_delete: bool = False, committer: Committer = "thread"
    ) -> "SqliteDatabase":
        """Open or create the file and bring it to the newest schema: `migrations[n]` leads to schema version n + 1.

        A thread commits, or another process: then every `apply` must be a module-level function, and every item
        picklable; or the loop itself, for files without durable writes.

        Raises:
            StorageUnusable: the file cannot be read or written, is no Zekt database, or is newer than this program.
        """
        with translated(path):
            reader = connect(path, secure_delete=secure_delete)
            try:
                migrate(reader, path, migrations)
                database = cls(path, reader)
                database.writer = await database._start(committer, secure_delete=secure_delete)
            except BaseException:
                disconnect(path, reader)
                raise
        return database

    async def write(
        self,
        apply: BatchWrite[Item, Result],
        item: Item,
        *,
        durable: bool = True,
        news: Collection[str] = (),
        is_patient: bool = False,
    ) -> Result:
        """Run `apply` over this item and its like in one transaction, and return this item's result once committed.

        `apply` answers an exception for an item that it refused without having written anything for it. Durable
        writes are on the disk when this returns; others survive the death of the process, and that of the machine
        from the next durable write or `sync` on. Whoever waits for `news` is woken. A patient write may take some
        milliseconds longer, to share another one's commit.

        Raises:
            StorageUnusable: the transaction failed (disk full, file gone, I/O error); nothing of it was kept.
        """
        done: asyncio.Future[Any] = self._loop.create_future()
        self.writer.submit(Submission(Write(apply, item, durable), done, news, is_patient))
        result: Result = await done
        return result

    async def sync(self) -> None:
        """Return once everything committed before is on the disk.

        Raises:
            StorageUnusable: the disk failed.
        """
        await asyncio.to_thread(sync_log, self.path)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a short read, on the loop's own connection; reads never wait for writers.

        Raises:
            StorageUnusable: the file cannot be read.
        """
        with translated(self.path):
            return self._reader.execute(sql, parameters).fetchall()

    def revision(self, topic: str) -> int:
        """Return a number that changes with every commit that is news of `topic`, or may be: another process's."""
        return self._revisions[topic] + self._others_revision

    async def wait(self, topic: str, revision: int, timeout_s: float) -> bool:
        """Return True once `revision` is no longer the topic's: somebody, in any process, has committed.

        Read the revision before looking at the data, so that a commit in between is not missed.
        """
        if self.revision(topic) != revision:
            return True
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._waiters[waiter] = topic
        self._poll = self._poll or self._loop.call_later(POLL_S, self._look)
        timer = self._loop.call_later(timeout_s, _answer, waiter, False)  # noqa: FBT003 - what `wait` returns
        try:
            return await waiter
        finally:
            timer.cancel()
            del self._waiters[waiter]

    async def close(self) -> None:
        """Finish what was submitted, then close the file."""
        await self.writer.stop()
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None
        disconnect(self.path, self._reader)

    def settle(self, submissions: Sequence[Submission], results: Sequence[Any]) -> None:
        """Answer the callers of committed writes, and wake whoever waits for news; the writer calls this."""
        for submission, result in zip(submissions, results, strict=True):
            done = submission.done
            if done.done():
                continue
            if isinstance(result, Exception):
                done.set_exception(result)
            else:
                done.set_result(result)
        topics = {topic for submission in submissions for topic in submission.news}
        if topics:
            self._has_changed()  # our own commits wake once, here, and not again at the next look
            self._revisions.update(topics)
            self._wake(topics)

    async def _start(self, committer: Committer, *, secure_delete: bool) -> Writer:
        match committer:
            case "thread":
                connection = connect(self.path, secure_delete=secure_delete)
                return ThreadWriter(self.path, GroupCommit(self.path, connection), self.settle)
            case "loop":  # reading on the connection that writes, we need not be told of our own commits
                return LoopWriter(self.path, GroupCommit(self.path, self._reader), self.settle)
            case _:
                writer = ProcessWriter(self.path, committer, self.settle, secure_delete=secure_delete)
                await writer.start()
                return writer

    def _wake(self, topics: Collection[str] | None = None) -> None:
        """Wake those who wait for one of the topics, or all."""
        for waiter, topic in list(self._waiters.items()):
            if topics is None or topic in topics:
                _answer(waiter, True)  # noqa: FBT003 - what `wait` returns

    def _look(self) -> None:
        """See whether another process has committed; look again while somebody waits."""
        if self._has_changed():
            self._others_revision += 1
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


def _answer(waiter: asyncio.Future[bool], answer: bool) -> None:  # noqa: FBT001 - a callback's argument
    if not waiter.done():
        waiter.set_result(answer)
