"""The data keys on SQLite: wrapped under the data directory's master key, in a file that keeps no trace of old ones."""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from zekt_common.adapters.key_wrapping import KEY_BYTES, KeyCache, KeyWrapping
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_file import connect, disconnect, translated
from zekt_common.adapters.sqlite_statements import insert_rows
from zekt_common.auth.secret_file import read_or_create
from zekt_common.errors import StorageUnusable
from zekt_common.ports.keys import DataKey

KEY_TABLES = """
    CREATE TABLE data_keys (
        account_id INTEGER PRIMARY KEY,
        key_id TEXT NOT NULL,
        wrapped BLOB NOT NULL
    ) STRICT
"""

_WANTED = "SELECT account_id, key_id, wrapped FROM data_keys WHERE account_id IN (SELECT value FROM json_each(?))"
_INSERT = "INSERT INTO data_keys (account_id, key_id, wrapped)"
_DESTROY = "UPDATE data_keys SET key_id = '', wrapped = x'' WHERE account_id IN (SELECT value FROM json_each(?))"


class _Row(msgspec.Struct, frozen=True, gc=False):
    """A key as stored; one that was destroyed leaves its row behind, with an empty id."""

    account_id: int
    key_id: str
    wrapped: bytes


def read_master_key(path: Path) -> bytes:
    """Return the 256-bit master key in this file, made on first use (mode 0600), by one process only.

    Raises:
        StorageUnusable: the file can be neither read nor created, or does not hold a key.
    """
    master_key = read_or_create(path, lambda: secrets.token_bytes(KEY_BYTES))
    if len(master_key) != KEY_BYTES:
        raise StorageUnusable(f"{path} does not hold a master key of {KEY_BYTES} bytes: restore it from a backup")
    return master_key


class SqliteKeys:
    """The `Keys` port over one database file, opened with `secure_delete`, with the table in `KEY_TABLES`.

    Keys in use are remembered for 30 s, which is how long another process's `destroy` may go unnoticed.
    """

    def __init__(
        self, database: SqliteDatabase, master_key: bytes, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._wrapping = KeyWrapping(master_key, str(database.path))
        self._cache = KeyCache(monotonic)

    async def data_key(self, account_id: int, /) -> DataKey:
        """Return the account's data key, making it on first use; see `Keys.data_key`."""
        cached = self._cache.get(account_id)
        if cached is not None:
            return cached
        found = self._database.query(_WANTED, (f"[{account_id}]",))
        row = _Row(*found[0]) if found else await self._database.write(_ensure, self._new(account_id))
        key = self._wrapping.unwrap(row.account_id, row.key_id, row.wrapped)
        self._cache.put(account_id, key)
        return key

    async def destroy(self, account_id: int, /) -> None:
        """Overwrite the account's data key in the file and truncate the log; see `Keys.destroy`."""
        await self._database.write(_destroy, account_id)
        self._cache.forget(account_id)
        await asyncio.to_thread(_truncate_log, self._database.path)

    def _new(self, account_id: int) -> _Row:
        return _Row(account_id, *self._wrapping.new(account_id))


def _ensure(connection: sqlite3.Connection, batch: Sequence[_Row]) -> list[_Row]:
    """Store the keys of accounts that have none yet, and return the ones that hold: the first to come wins."""
    values = [value for row in batch for value in (row.account_id, row.key_id, row.wrapped)]
    insert_rows(connection, _INSERT, 3, values, "ON CONFLICT DO NOTHING")
    wanted = msgspec.json.encode([row.account_id for row in batch]).decode()
    rows = {row[0]: _Row(*row) for row in connection.execute(_WANTED, (wanted,)).fetchall()}
    return [rows[row.account_id] for row in batch]


def _destroy(connection: sqlite3.Connection, batch: Sequence[int]) -> list[None]:
    """Leave an empty row, also for accounts that never had a key: none will be made for them."""
    insert_rows(connection, _INSERT, 3, [value for id_ in batch for value in (id_, "", b"")], "ON CONFLICT DO NOTHING")
    connection.execute(_DESTROY, (msgspec.json.encode(batch).decode(),))
    return [None] * len(batch)


def _truncate_log(path: Path) -> None:
    """Fold the log into the file and cut it to nothing, since its old frames still hold the page with the key."""
    with translated(path):
        connection = connect(path, secure_delete=True)
        try:
            ((busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            disconnect(path, connection)
    if busy:
        raise StorageUnusable(f"{path}: the log could not be truncated, a reader holds it: destroy the key again")
