"""The wrapped data keys on SQLite, in a file that keeps no trace of old ones."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from zekt_common.adapters.key_wrapping import WrappedKey
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_file import WriterLock, connect, disconnect, translated
from zekt_common.adapters.sqlite_statements import insert_rows
from zekt_common.errors import StorageUnusable

KEY_TABLES: Final = (
    """
    CREATE TABLE data_keys (
        account_id INTEGER PRIMARY KEY,
        key_id TEXT NOT NULL,
        wrapped BLOB NOT NULL
    ) STRICT
    """,
    "ALTER TABLE data_keys ADD COLUMN generation TEXT NOT NULL DEFAULT ''",
)
"""The schema of the file, migration by migration."""

PAGE: Final = 500

_COLUMNS = "account_id, key_id, wrapped, generation"
_WANTED = f"SELECT {_COLUMNS} FROM data_keys WHERE account_id IN (SELECT value FROM json_each(?))"  # noqa: S608 - ours
_OTHERS = f"""
    SELECT {_COLUMNS} FROM data_keys
    WHERE account_id > ? AND key_id != '' AND generation != ? ORDER BY account_id LIMIT ?
"""  # noqa: S608 - ours
_INSERT = f"INSERT INTO data_keys ({_COLUMNS})"
_REPLACE = """
    UPDATE data_keys SET wrapped = ?, generation = ? WHERE account_id = ? AND key_id = ? AND wrapped = ?
"""
_DESTROY = """
    UPDATE data_keys SET key_id = '', wrapped = x'', generation = ''
    WHERE account_id IN (SELECT value FROM json_each(?))
"""
_COUNTS = "SELECT generation, count(*) FROM data_keys WHERE key_id != '' GROUP BY generation ORDER BY generation"
_SMALLEST = -(2**63)

Replacement = tuple[WrappedKey, WrappedKey]


class SqliteKeyRecords:
    """`KeyRecords` in one database file, opened with `secure_delete`, with the tables in `KEY_TABLES`."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    @property
    def place(self) -> str:
        """The file's path."""
        return str(self._database.path)

    async def find(self, account_id: int, /) -> WrappedKey | None:
        """Read the account's row; see `KeyRecords.find`."""
        rows = self._database.query(_WANTED, (f"[{account_id}]",))
        return WrappedKey(*rows[0]) if rows else None

    async def add(self, record: WrappedKey, /) -> WrappedKey:
        """Insert the row unless there is one; see `KeyRecords.add`."""
        return await self._database.write(_ensure, record)

    async def replace(self, known: WrappedKey, record: WrappedKey, /) -> bool:
        """Update the row if it holds what is known; see `KeyRecords.replace`."""
        return await self._database.write(_replace, (known, record))

    async def destroy(self, account_id: int, /) -> None:
        """Empty the row, or leave an empty one; see `KeyRecords.destroy`."""
        await self._database.write(_destroy, account_id)

    async def under_others(self, generation: str, /) -> AsyncIterator[WrappedKey]:
        """Read page by page, in order of the accounts; see `KeyRecords.under_others`."""
        last = _SMALLEST
        while rows := self._database.query(_OTHERS, (last, generation, PAGE)):
            for row in rows:
                yield WrappedKey(*row)
            last = rows[-1][0]

    async def counts(self) -> Mapping[str, int]:
        """Count the rows that hold a key; see `KeyRecords.counts`."""
        return dict(self._database.query(_COUNTS))

    async def forget_replaced(self) -> None:
        """Truncate the log, whose old frames hold what the file has overwritten; see `KeyRecords.forget_replaced`."""
        await asyncio.to_thread(_truncate_log, self._database.path)


def _ensure(connection: sqlite3.Connection, batch: Sequence[WrappedKey]) -> list[WrappedKey]:
    """Store the keys of accounts that have none yet, and return the ones that hold: the first to come wins."""
    values = [value for row in batch for value in (row.account_id, row.key_id, row.wrapped, row.generation)]
    insert_rows(connection, _INSERT, 4, values, "ON CONFLICT DO NOTHING")
    wanted = msgspec.json.encode([row.account_id for row in batch]).decode()
    rows = {row[0]: WrappedKey(*row) for row in connection.execute(_WANTED, (wanted,)).fetchall()}
    return [rows[row.account_id] for row in batch]


def _replace(connection: sqlite3.Connection, batch: Sequence[Replacement]) -> list[bool]:
    return [
        connection.execute(
            _REPLACE, (record.wrapped, record.generation, known.account_id, known.key_id, known.wrapped)
        ).rowcount
        == 1
        for known, record in batch
    ]


def _destroy(connection: sqlite3.Connection, batch: Sequence[int]) -> list[None]:
    """Leave an empty row, also for accounts that never had a key: none will be made for them."""
    values = [value for account_id in batch for value in (account_id, "", b"", "")]
    insert_rows(connection, _INSERT, 4, values, "ON CONFLICT DO NOTHING")
    connection.execute(_DESTROY, (msgspec.json.encode(batch).decode(),))
    return [None] * len(batch)


def _truncate_log(path: Path) -> None:
    """Fold the log into the file and cut it to nothing, since its old frames still hold the page with the key.

    Whoever else would fold or write waits meanwhile; readers are waited for.
    """
    with translated(path):
        connection = connect(path, secure_delete=True)
        try:
            with contextlib.closing(WriterLock(path)) as lock, lock:
                ((busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            disconnect(path, connection)
    if busy:
        raise StorageUnusable(f"{path}: the log could not be truncated, a reader holds it: do it again")
