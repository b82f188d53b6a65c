"""Leases as documents in the views: renewed while held, and passed on once nobody has renewed them for a while.

No two machines' clocks are compared: whoever waits measures, on its own clock, for how long a lease has not changed,
and whoever holds measures for how long its last renewal is good.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec

from zekt_common.errors import DocumentConflict, LeaseLost, StorageUnusable
from zekt_common.ports.views import ABSENT, Put, Views

PARTITION: Final = "leases"
GOOD_FOR_S: Final = 6.0
RENEW_EVERY_S: Final = 2.0
ASK_EVERY_S: Final = 0.5
RELEASE_WITHIN_S: Final = 2.0
NOBODY: Final = ""


class _Lease(msgspec.Struct, frozen=True):
    holder: str


_decoder = msgspec.json.Decoder(_Lease)


class CosmosLeases:
    """The `Leases` port over views that compare and set."""

    def __init__(self, views: Views, *, good_for_s: float = GOOD_FOR_S) -> None:
        self._views = views
        self._good_for_s = good_for_s

    @asynccontextmanager
    async def hold(self, name: str, /) -> AsyncIterator[None]:
        """Hold the lease; see `Leases.hold`.

        Raises:
            LeaseLost: it could not be renewed in time; the block was cancelled.
        """
        lease = _Holding(self._views, name, self._good_for_s)
        good_until = await lease.acquire()
        try:
            async with asyncio.timeout_at(good_until) as limit:
                keeper = asyncio.create_task(lease.keep(limit))
                try:
                    yield
                finally:
                    await _ended(keeper)
        except TimeoutError:
            if not limit.expired():
                raise
            raise LeaseLost(f"the lease {name} could not be renewed in time") from None
        finally:
            await lease.release()


class _Holding:
    """One attempt at a lease, from asking for it to giving it back."""

    def __init__(self, views: Views, name: str, good_for_s: float) -> None:
        self._views, self._name, self._good_for_s = views, name, good_for_s
        self._loop = asyncio.get_running_loop()
        self._holder = secrets.token_hex(8)
        self._etag = NOBODY

    async def acquire(self) -> float:
        """Wait until the lease is ours and return until when, in the loop's time."""
        seen, since = ABSENT, self._loop.time()
        while True:
            asked_at = self._loop.time()
            document = await self._views.get(PARTITION, self._name)
            etag = document.etag if document else ABSENT
            if etag != seen:
                seen, since = etag, asked_at
            free = document is None or _decoder.decode(document.body).holder == NOBODY
            if (free or asked_at - since > self._good_for_s) and await self._write(etag):
                return asked_at + self._good_for_s
            if not free:
                await asyncio.sleep(ASK_EVERY_S)

    async def keep(self, limit: asyncio.Timeout) -> None:
        """Renew the lease until cancelled, moving the limit on; once it is somebody else's, the limit is now."""
        while True:
            await asyncio.sleep(min(RENEW_EVERY_S, self._good_for_s / 3))
            asked_at = self._loop.time()
            with suppress(StorageUnusable):  # there is time to ask again before the limit
                renewed = await self._write(self._etag)
                if limit.expired():
                    return
                limit.reschedule(asked_at + self._good_for_s if renewed else asked_at)
                if not renewed:
                    return

    async def release(self) -> None:
        """Give the lease to whoever asks next; failing that, it passes on by itself."""
        with suppress(StorageUnusable, DocumentConflict, TimeoutError):
            body = msgspec.json.encode(_Lease(NOBODY))
            async with asyncio.timeout(RELEASE_WITHIN_S):
                await self._views.write([Put(partition=PARTITION, id=self._name, body=body, if_match=self._etag)])

    async def _write(self, etag: str) -> bool:
        body = msgspec.json.encode(_Lease(self._holder))
        put = Put(partition=PARTITION, id=self._name, body=body, if_match=etag)
        try:
            (self._etag,) = await self._views.write([put])
        except DocumentConflict:
            return False
        return True


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
