"""The port of the payloads: bytes by account and SHA-256, compressed, encrypted and expiring."""

import hashlib
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


def reference_to(account_id: int, content: bytes, expires_at: datetime) -> PayloadRef:
    """Return the reference to these bytes."""
    sha256 = hashlib.sha256(content).hexdigest()
    return PayloadRef(account_id=account_id, sha256=sha256, size_bytes=len(content), expires_at=expires_at)


class Payloads(Protocol):
    """Stored payloads; anything over 32 KB travels by reference to here."""

    async def reference(self, account_id: int, content: bytes, /, *, retention: timedelta = RETENTION) -> PayloadRef:
        """Return what `put` will return for content that is not stored yet, so that it can be referred to meanwhile.

        Raises:
            KeyDestroyed: the account's data key was destroyed; so it will be for `put`.
        """
        ...

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
