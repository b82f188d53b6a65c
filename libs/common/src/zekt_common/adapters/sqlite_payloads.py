"""Payloads on SQLite: hashed, compressed and encrypted by the writer, so that a flood costs the event loop little."""

import hashlib
import json
import pickle
import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag

from zekt_common.adapters.payload_sealing import seal, unseal
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_statements import insert_rows
from zekt_common.clock import Clock, from_micros, to_micros, utc_now
from zekt_common.errors import KeyDestroyed, PayloadNotFound
from zekt_common.ports.keys import Keys
from zekt_common.ports.payloads import RETENTION, PayloadRef, reference_to

PURGED_PER_COMMIT = 500

PAYLOAD_TABLES = """
    CREATE TABLE payloads (
        id INTEGER PRIMARY KEY,
        account_id INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        body BLOB NOT NULL,
        UNIQUE (account_id, sha256)
    ) STRICT;
    CREATE INDEX payloads_by_expiry ON payloads (expires_at)
"""

_KNOWN = """
    SELECT json_group_array(json_array(wanted.key, expires_at)) FROM json_each(?) AS wanted
    JOIN payloads ON account_id = wanted.value ->> 0 AND sha256 = wanted.value ->> 1
"""
_PURGE = "DELETE FROM payloads WHERE id IN (SELECT id FROM payloads WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)"
_EXTEND = "UPDATE payloads SET expires_at = max(expires_at, ?) WHERE account_id = ? AND sha256 = ?"


class _Content(msgspec.Struct, frozen=True, gc=False):
    account_id: int
    content: pickle.PickleBuffer
    secret: bytes
    expires_at: int


class SqlitePayloads:
    """The `Payloads` port over one database file with the table in `PAYLOAD_TABLES`, opened with `secure_delete`."""

    def __init__(self, database: SqliteDatabase, keys: Keys, *, clock: Clock = utc_now) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock

    async def reference(self, account_id: int, content: bytes, /, *, retention: timedelta = RETENTION) -> PayloadRef:
        """Return the reference that `put` will return for new content.

        Raises:
            KeyDestroyed: the account's data key was destroyed.
        """
        await self._keys.data_key(account_id)
        return reference_to(account_id, content, self._clock() + retention)

    async def put(self, account_id: int, content: bytes, /, *, retention: timedelta = RETENTION) -> PayloadRef:
        """Store `content` durably and return its reference.

        Raises:
            KeyDestroyed: the account's data key was destroyed.
        """
        key = await self._keys.data_key(account_id)
        expires_at = to_micros(self._clock() + retention)
        item = _Content(account_id, pickle.PickleBuffer(content), key.secret, expires_at)
        sha256, kept_until = await self._database.write(_put, item)
        return PayloadRef(
            account_id=account_id, sha256=sha256, size_bytes=len(content), expires_at=from_micros(kept_until)
        )

    async def get(self, account_id: int, sha256: str, /) -> bytes:
        """Return the bytes as they were put."""
        rows = self._database.query(
            "SELECT body FROM payloads WHERE account_id = ? AND sha256 = ? AND expires_at > ?",
            (account_id, sha256, to_micros(self._clock())),
        )
        if not rows:
            raise _not_found(sha256)
        try:
            key = await self._keys.data_key(account_id)
        except KeyDestroyed:
            raise _not_found(sha256) from None
        try:
            return unseal(rows[0][0], key.secret, account_id, sha256)
        except InvalidTag:
            raise PayloadNotFound(f"payload {sha256[:64]} of account {account_id} is damaged: it is lost") from None

    async def purge(self) -> int:
        """Delete what has expired, in commits small enough to let others in between."""
        purged, now = 0, to_micros(self._clock())
        while count := await self._database.write(_purge, now, durable=False):
            purged += count
        return purged


def _not_found(sha256: str) -> PayloadNotFound:
    return PayloadNotFound(f"no payload {sha256[:64]}: never stored, expired or erased")


def _put(connection: sqlite3.Connection, batch: Sequence[_Content]) -> list[tuple[str, int]]:
    places = [(item.account_id, hashlib.sha256(item.content).hexdigest()) for item in batch]
    kept_until = _expiries(connection, places)
    values: list[Any] = []
    extended: list[Any] = []
    for item, place in zip(batch, places, strict=True):
        if place in kept_until:
            extended.append((item.expires_at, *place))
        else:
            values += (*place, item.expires_at, seal(item.content, item.secret, *place))
        kept_until[place] = max(item.expires_at, kept_until.get(place, 0))
    insert_rows(connection, "INSERT INTO payloads (account_id, sha256, expires_at, body)", 4, values)
    connection.executemany(_EXTEND, extended)
    return [(place[1], kept_until[place]) for place in places]


def _expiries(connection: sqlite3.Connection, places: Sequence[tuple[int, str]]) -> dict[tuple[int, str], int]:
    """Return until when the payloads are kept that are stored already."""
    ((found,),) = connection.execute(_KNOWN, (json.dumps(places),)).fetchall()
    return {places[index]: expires_at for index, expires_at in json.loads(found)}


def _purge(connection: sqlite3.Connection, batch: Sequence[int]) -> list[int]:
    return [connection.execute(_PURGE, (now, PURGED_PER_COMMIT)).rowcount for now in batch]
