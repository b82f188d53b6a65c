"""The payloads on SQLite: zstd, then AES-256-GCM under the owning account's data key, then one row each."""

import asyncio
import hashlib
import secrets
import sqlite3
from collections.abc import Sequence
from datetime import timedelta

import msgspec
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_statements import insert_rows
from zekt_common.clock import Clock, from_micros, to_micros, utc_now
from zekt_common.errors import KeyDestroyed, PayloadNotFound, StorageUnusable
from zekt_common.ports.keys import DataKey, Keys
from zekt_common.ports.payloads import RETENTION, PayloadRef

NONCE_BYTES = 12
ZSTD_LEVEL = 1
LARGE_BYTES = 512 * 1024
PURGED_PER_COMMIT = 500

PAYLOAD_TABLES = """
    CREATE TABLE payloads (
        id INTEGER PRIMARY KEY,
        account_id INTEGER NOT NULL,
        sha256 BLOB NOT NULL,
        size_bytes INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        body BLOB NOT NULL,
        UNIQUE (account_id, sha256)
    ) STRICT;
    CREATE INDEX payloads_by_expiry ON payloads (expires_at)
"""

_EXPIRY = "SELECT expires_at FROM payloads WHERE account_id = ? AND sha256 = ? AND expires_at > ?"
_BODY = "SELECT size_bytes, body FROM payloads WHERE account_id = ? AND sha256 = ? AND expires_at > ?"
_INSERT = "INSERT INTO payloads (account_id, sha256, size_bytes, expires_at, body)"
_INSERT_OVER = """
    ON CONFLICT (account_id, sha256)
    DO UPDATE SET body = excluded.body, expires_at = max(expires_at, excluded.expires_at)
"""
_EXTEND = """
    UPDATE payloads SET expires_at = max(expires_at, ?)
    WHERE account_id = ? AND sha256 = ? AND expires_at > ? RETURNING expires_at
"""
_PURGE = "DELETE FROM payloads WHERE id IN (SELECT id FROM payloads WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)"


class _Row(msgspec.Struct, frozen=True, gc=False):
    account_id: int
    sha256: bytes
    size_bytes: int
    expires_at: int
    body: bytes


class _Extension(msgspec.Struct, frozen=True, gc=False):
    account_id: int
    sha256: bytes
    expires_at: int
    now: int


class SqlitePayloads:
    """The `Payloads` port over one database file, opened with `secure_delete`, with the table in `PAYLOAD_TABLES`."""

    def __init__(self, database: SqliteDatabase, keys: Keys, *, clock: Clock = utc_now) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
        self._decompressor = zstandard.ZstdDecompressor()

    async def put(self, account_id: int, content: bytes, /, *, retention: timedelta = RETENTION) -> PayloadRef:
        """Store `content` durably, or extend what is stored already; see `Payloads.put`.

        Raises:
            KeyDestroyed: the account's data key was destroyed.
        """
        key = await self._keys.data_key(account_id)
        digest = _digest(content) if len(content) < LARGE_BYTES else await asyncio.to_thread(_digest, content)
        now = self._clock()
        extension = _Extension(account_id, digest, to_micros(now + retention), to_micros(now))
        expires_at = await self._extend(extension)
        if expires_at is None:
            body = await self._seal(key, account_id, digest, content)
            row = _Row(account_id, digest, len(content), extension.expires_at, body)
            expires_at = await self._database.write(_insert, row)
        return PayloadRef(
            account_id=account_id, sha256=digest.hex(), size_bytes=len(content), expires_at=from_micros(expires_at)
        )

    async def get(self, account_id: int, sha256: str, /) -> bytes:
        """Return the bytes as they were put; see `Payloads.get`."""
        digest = _parse(sha256)
        rows = self._database.query(_BODY, (account_id, digest, to_micros(self._clock())))
        if not rows:
            raise _not_found(account_id, sha256)
        try:
            key = await self._keys.data_key(account_id)
        except KeyDestroyed:
            raise _not_found(account_id, sha256) from None
        return await self._open(key, account_id, digest, *rows[0])

    async def purge(self) -> int:
        """Delete what has expired, in commits small enough to let others in between."""
        purged = 0
        now = to_micros(self._clock())
        while count := await self._database.write(_purge, now, durable=False):
            purged += count
        return purged

    async def _extend(self, extension: _Extension) -> int | None:
        """Return the expiry of a payload that is stored already, extended if need be; None if there is none."""
        found = self._database.query(_EXPIRY, (extension.account_id, extension.sha256, extension.now))
        if not found:
            return None
        expires_at: int = found[0][0]
        if expires_at >= extension.expires_at:
            return expires_at
        return await self._database.write(_extend, extension)

    async def _seal(self, key: DataKey, account_id: int, digest: bytes, content: bytes) -> bytes:
        bound = _bound_to(account_id, digest)
        if len(content) < LARGE_BYTES:
            return _encrypt(key, bound, self._compressor.compress(content))
        return await asyncio.to_thread(_compress_and_encrypt, key, bound, content)

    async def _open(self, key: DataKey, account_id: int, digest: bytes, size_bytes: int, body: bytes) -> bytes:
        bound = _bound_to(account_id, digest)
        try:
            if size_bytes < LARGE_BYTES:
                return self._decompressor.decompress(_decrypt(key, bound, body))
            return await asyncio.to_thread(_decrypt_and_decompress, key, bound, body)
        except InvalidTag:
            path = self._database.path
            raise StorageUnusable(f"{path}: payload {digest.hex()} of account {account_id} is damaged") from None


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _parse(sha256: str) -> bytes:
    """Return the bytes of a hex digest; nothing is stored under what is none."""
    try:
        return bytes.fromhex(sha256)
    except ValueError:
        return b""


def _not_found(account_id: int, sha256: str) -> PayloadNotFound:
    return PayloadNotFound(f"account {account_id} has no payload {sha256[:64]}: never stored, expired or erased")


def _bound_to(account_id: int, digest: bytes) -> bytes:
    return b"zekt payload %d " % account_id + digest


def _encrypt(key: DataKey, bound: bytes, compressed: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key.secret).encrypt(nonce, compressed, bound)


def _decrypt(key: DataKey, bound: bytes, body: bytes) -> bytes:
    return AESGCM(key.secret).decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], bound)


def _compress_and_encrypt(key: DataKey, bound: bytes, content: bytes) -> bytes:
    """Do in a thread what would hold the event loop up; a compressor serves one thread only, so this makes its own."""
    return _encrypt(key, bound, zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(content))


def _decrypt_and_decompress(key: DataKey, bound: bytes, body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(_decrypt(key, bound, body))


def _insert(connection: sqlite3.Connection, batch: Sequence[_Row]) -> list[int]:
    values: list[int | bytes] = []
    for row in batch:
        values += (row.account_id, row.sha256, row.size_bytes, row.expires_at, row.body)
    insert_rows(connection, _INSERT, 5, values, _INSERT_OVER)
    return [row.expires_at for row in batch]


def _extend(connection: sqlite3.Connection, batch: Sequence[_Extension]) -> list[int | None]:
    """Return the new expiries; None for a payload that was purged in the meantime."""
    extended: list[int | None] = []
    for extension in batch:
        parameters = (extension.expires_at, extension.account_id, extension.sha256, extension.now)
        rows = connection.execute(_EXTEND, parameters).fetchall()
        extended.append(rows[0][0] if rows else None)
    return extended


def _purge(connection: sqlite3.Connection, batch: Sequence[int]) -> list[int]:
    return [connection.execute(_PURGE, (now, PURGED_PER_COMMIT)).rowcount for now in batch]
