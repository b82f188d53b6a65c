"""The payloads on SQLite: zstd, then AES-256-GCM under the owning account's data key, then one row each."""

from datetime import timedelta

import msgspec
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.clock import Clock, from_micros, to_micros, utc_now
from zekt_common.ports.keys import Keys
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

_EXPIRY = "SELECT expires_at FROM payloads WHERE account_id = ? AND sha256 = ?"
_BODY = "SELECT size_bytes, body FROM payloads WHERE account_id = ? AND sha256 = ? AND expires_at > ?"
_INSERT = "INSERT INTO payloads (account_id, sha256, size_bytes, expires_at, body)"
_INSERT_OVER = """
    ON CONFLICT (account_id, sha256) DO UPDATE SET body = excluded.body, expires_at = max(expires_at, excluded.expires_at)
"""
_EXTEND = "UPDATE payloads SET expires_at = max(expires_at, ?) WHERE account_id = ? AND sha256 = ? AND expires_at > ?"
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
        self._cipher = (b"", AESGCM(bytes(32)))

    async def put(self, account_id: int, content: bytes, /, *, retention: timedelta = RETENTION) -> PayloadRef:
        """Store `content` durably, or extend what is stored already; see `Payloads.put`.

        Raises:
            KeyDestroyed: the account's data key was destroyed.
        """
        key = await self._keys.data_key(account_id)
        digest = await self._digest(content)
        now = self._clock()
        wanted = to_micros(now + retention)
        expires_at = await self._extend(account_id, digest, wanted, to_micros(now))
        if expires_at is None:
            body = await self._seal(key, account_id, digest, content)
            expires_at = await self._database.write(_insert, _Row(account_id, digest, len(content), wanted, body))
        return PayloadRef(
            account_id=account_id,
            sha256=digest.hex(),
            size_bytes=len(content),
            expires_at=from_micros(expires_at),
        )
