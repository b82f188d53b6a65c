"""Payloads in Blob Storage: one block blob each, named by account and hash, sealed before it leaves the process."""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeVar

from cryptography.exceptions import InvalidTag

from zekt_common.adapters.blob_container import BlobContainer, StoredBlob
from zekt_common.adapters.payload_sealing import seal, unseal
from zekt_common.clock import Clock, from_micros, to_micros, utc_now
from zekt_common.errors import KeyDestroyed, PayloadNotFound
from zekt_common.ports.keys import Keys
from zekt_common.ports.payloads import RETENTION, PayloadRef, reference_to

BLOCKS_THE_LOOP_BYTES: Final = 64 * 1024
DELETED_AT_ONCE: Final = 32
_HEX: Final = frozenset("0123456789abcdef")
_SHA256_DIGITS: Final = 64

Result = TypeVar("Result")


class BlobPayloads:
    """The `Payloads` port over one container; the expiry is the blob's metadata, as a number of microseconds."""

    def __init__(self, container: BlobContainer, keys: Keys, *, clock: Clock = utc_now) -> None:
        self._container = container
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
            ValueError: the retention is over `RETENTION`, after which the storage account deletes by itself.
            BackendUnavailable: the storage account does not serve us.
        """
        if retention > RETENTION:
            raise ValueError(f"payloads are kept for {RETENTION.days} days at most, not {retention}")
        key = await self._keys.data_key(account_id)
        expires_at = to_micros(self._clock() + retention)
        sha256, body = await _sealed(content, key.secret, account_id)
        kept_until = await self._store(_name(account_id, sha256), body, expires_at)
        return PayloadRef(
            account_id=account_id, sha256=sha256, size_bytes=len(content), expires_at=from_micros(kept_until)
        )

    async def get(self, account_id: int, sha256: str, /) -> bytes:
        """Return the bytes as they were put.

        Raises:
            PayloadNotFound: never stored, expired, erased or damaged.
            BackendUnavailable: the storage account does not serve us.
        """
        found = await self._container.read(_name(account_id, sha256)) if _is_sha256(sha256) else None
        if found is None or found[0].expires_at <= to_micros(self._clock()):
            raise _not_found(sha256)
        try:
            key = await self._keys.data_key(account_id)
        except KeyDestroyed:
            raise _not_found(sha256) from None
        try:
            return await _unsealed(found[1], key.secret, account_id, sha256)
        except InvalidTag:
            raise PayloadNotFound(f"payload {sha256} of account {account_id} is damaged: it is lost") from None

    async def purge(self) -> int:
        """Delete what has expired; a payload that is put again meanwhile stays."""
        now, purged = to_micros(self._clock()), 0
        expired: list[StoredBlob] = []
        async for blob in self._container.listing():
            if blob.expires_at <= now:
                expired.append(blob)
            if len(expired) == DELETED_AT_ONCE:
                purged += await self._delete(expired)
                expired = []
        return purged + await self._delete(expired)

    async def _store(self, name: str, body: bytes, expires_at: int) -> int:
        """Return until when the blob is kept now, in microseconds."""
        while not await self._container.create(name, body, expires_at):
            kept_until = await self._extend(name, expires_at)
            if kept_until is not None:
                return kept_until
        return expires_at

    async def _extend(self, name: str, expires_at: int) -> int | None:
        """Let the stored blob live at least until `expires_at`; None when it has been purged meanwhile."""
        while seen := await self._container.find(name):
            if seen.expires_at >= expires_at:
                return seen.expires_at
            if await self._container.extend(seen, expires_at):
                return expires_at
        return None

    async def _delete(self, expired: list[StoredBlob]) -> int:
        return sum(await asyncio.gather(*(self._container.delete(blob) for blob in expired)))


async def _sealed(content: bytes, secret: bytes, account_id: int) -> tuple[str, bytes]:
    def hash_and_seal(content: bytes) -> tuple[str, bytes]:
        sha256 = _hash(content)
        return sha256, seal(content, secret, account_id, sha256)

    return await _off_loop(content, hash_and_seal)


async def _unsealed(body: bytes, secret: bytes, account_id: int, sha256: str) -> bytes:
    return await _off_loop(body, lambda body: unseal(body, secret, account_id, sha256))


async def _off_loop(content: bytes, work: Callable[[bytes], Result]) -> Result:
    """Do the work, in a thread if the content is so large that others would wait for it."""
    return work(content) if len(content) < BLOCKS_THE_LOOP_BYTES else await asyncio.to_thread(work, content)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _name(account_id: int, sha256: str) -> str:
    return f"{account_id}/{sha256}"


def _is_sha256(text: str) -> bool:
    return len(text) == _SHA256_DIGITS and _HEX.issuperset(text)


def _not_found(sha256: str) -> PayloadNotFound:
    return PayloadNotFound(f"no payload {sha256[:64]}: never stored, expired or erased")
