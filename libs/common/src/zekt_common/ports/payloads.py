"""The port of the payloads: bytes by account and SHA-256, compressed, encrypted and expiring."""

from datetime import datetime, timedelta
from typing import Protocol

import msgspec

INLINE_LIMIT_BYTES = 32 * 1024
RETENTION = timedelta(days=90)


class PayloadRef(msgspec.Struct, frozen=True, kw_only=True):
    """Where the bytes are: the owning account, their SHA-256 in hex, their plain size and their expiry."""

    account_id: int
    sha256: str
    size_bytes: int
    expires_at: datetime


class Payloads(Protocol):
    """Stored payloads; anything over 32 KB travels by reference to here."""

    async def put(self, account_id: int, content: bytes, /, *, retention: timedelta = RETENTION) -> PayloadRef:
        """Store `content` durably and return its reference; a repeat extends the expiry, never shortens it."""
        ...

    async def get(self, account_id: int, sha256: str, /) -> bytes:
        """Return the bytes as they were put.

        Raises:
            PayloadNotFound: never stored, expired, erased or damaged; asking again does not help.
        """
        ...

    async def purge(self) -> int:
        """Delete what has expired and return how many payloads that was."""
        ...
