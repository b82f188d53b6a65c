"""Reading webhooks' bodies: for as long as GitHub would wait, and no more bytes at once than there is room for.

What is read is unsigned until it is whole. Ordinary webhooks are small and need no room.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from zekt_common.kit.errors import Refusal

MAX_BODY_BYTES: Final = 25 * 1024 * 1024
SMALL_BYTES: Final = 64 * 1024
ROOM_BYTES: Final = 128 * 1024 * 1024
BODY_WITHIN_S: Final = 10.0
ROOM_WITHIN_S: Final = 3.0
AGAIN_AFTER_S: Final = 5


class Room:
    """Bytes of large bodies that may be in memory at once; who finds none waits, first come, first served."""

    def __init__(self, size_bytes: int = ROOM_BYTES, *, within_s: float = ROOM_WITHIN_S) -> None:
        self._free_bytes = size_bytes
        self._within_s = within_s
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def hold(self, size_bytes: int) -> AsyncIterator[None]:
        """Keep room for so many bytes while the block runs.

        Raises:
            Refusal: there was none in time.
        """
        try:
            async with asyncio.timeout(self._within_s):
                await self._take(size_bytes)
        except TimeoutError:
            detail = "Too many large webhooks are being read: redeliver this one later."
            raise Refusal(503, "busy", detail, headers={"Retry-After": str(AGAIN_AFTER_S)}) from None
        try:
            yield
        finally:
            self._free_bytes += size_bytes
            self._freed.set()

    async def _take(self, size_bytes: int) -> None:
        async with self._turn:
            while self._free_bytes < size_bytes:
                self._freed.clear()
                await self._freed.wait()
            self._free_bytes -= size_bytes


def declared_bytes(request: web.Request) -> int:
    """Return how large the body can be: what the request says, or the most that is taken in."""
    return MAX_BODY_BYTES if request.content_length is None else min(request.content_length, MAX_BODY_BYTES)


async def read_body(request: web.Request) -> bytes:
    """Return the whole body.

    Raises:
        Refusal: it did not arrive in time.
    """
    if request.content.is_eof():
        return await request.read()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            return await request.read()
    except TimeoutError:
        raise Refusal(408, "body_too_slow", f"The body did not arrive within {BODY_WITHIN_S:.0f} s.") from None
