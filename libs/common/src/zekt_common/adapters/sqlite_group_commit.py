"""Many writes, one transaction: what a writer does with each batch, be it a thread or a process."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from zekt_common.adapters.sqlite_file import WriterLock, disconnect, translated
from zekt_common.errors import StorageUnusable

Item = TypeVar("Item")
Result = TypeVar("Result")
BatchWrite = Callable[[sqlite3.Connection, Sequence[Item]], Sequence[Result | Exception]]

MAX_BATCH = 256


class Write(msgspec.Struct, frozen=True, gc=False):
    """One write: `apply` is run over the items of all writes of its kind that share a transaction."""

    apply: BatchWrite[Any, Any]
    item: Any
    durable: bool


class Submission(msgspec.Struct, frozen=True):
    """A write on its way, the future of its result, what it is news of, and whether it can wait for others."""

    write: Write
    done: asyncio.Future[Any]
    news: Collection[str] = ()
    is_patient: bool = False


Settle = Callable[[Sequence[Submission], Sequence[Any]], None]


class Writer(Protocol):
    """Takes writes in any number and settles them on the loop, in batches."""

    def submit(self, submission: Submission) -> None:
        """Queue a write.

        Raises:
            StorageUnusable: the writer is gone.
        """
        ...

    async def stop(self) -> None:
        """Finish what was submitted, then end."""
        ...


class GroupCommit:
    """The writing connection of one file."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._connection = connection
        with translated(path):
            self._lock = WriterLock(path)
        self._path = path
        self._synced = True

    def commit(self, writes: Sequence[Write]) -> list[Any]:
        """Commit the writes together and return each one's result, or the exception that is its caller's.

        If the transaction fails, each write gets one of its own, so that none suffers for another.
        """
        return self._in_turn(writes, wait=True) or []

    def commit_now(self, writes: Sequence[Write]) -> list[Any] | None:
        """Do as `commit` does, or nothing if that would have to wait for another writer: then return None."""
        return self._in_turn(writes, wait=False)

    def close(self) -> None:
        """Close the connection."""
        self._lock.close()
        disconnect(self._path, self._connection)

    def _in_turn(self, writes: Sequence[Write], *, wait: bool) -> list[Any] | None:
        try:
            with translated(self._path):
                if not self._lock.acquire(wait=wait):
                    return None
        except StorageUnusable as error:
            return [error for _ in writes]
        try:
            return self._commit(writes)
        finally:
            self._lock.release()

    def _commit(self, writes: Sequence[Write]) -> list[Any]:
        try:
            with translated(self._path):
                return self._transaction(writes)
        except Exception as error:  # noqa: BLE001 - whatever went wrong belongs to the callers, not to the writer
            if len(writes) > 1:
                return [result for write in writes for result in self._commit([write])]
            return [error]

    def _transaction(self, writes: Sequence[Write]) -> list[Any]:
        self._sync(durable=any(write.durable for write in writes))
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            results = self._apply(writes)
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise
        return results

    def _apply(self, writes: Sequence[Write]) -> list[Any]:
        kinds: dict[BatchWrite[Any, Any], list[int]] = {}
        for index, write in enumerate(writes):
            kinds.setdefault(write.apply, []).append(index)
        results: list[Any] = [None] * len(writes)
        for apply, indices in kinds.items():
            applied = apply(self._connection, [writes[index].item for index in indices])
            for index, result in zip(indices, applied, strict=True):
                results[index] = result
        return results

    def _sync(self, *, durable: bool) -> None:
        if durable != self._synced:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._synced = durable
