"""How many calls to GitHub of one kind are under way at once: whoever finds no slot free waits for a bounded time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from zekt_identity.github_app import GitHubUnavailable

SLOTS: Final = 20
SLOT_WITHIN_S: Final = 5.0


class Slots:
    """First come, first served."""

    def __init__(self, slots: int = SLOTS, *, within_s: float = SLOT_WITHIN_S) -> None:
        self._free = asyncio.Semaphore(slots)
        self._within_s = within_s

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Keep a slot while the block runs.

        Raises:
            GitHubUnavailable: none was free in time, which says nothing of GitHub.
        """
        try:
            async with asyncio.timeout(self._within_s):
                await self._free.acquire()
        except TimeoutError:
            raise GitHubUnavailable("Too many calls to GitHub are under way") from None
        try:
            yield
        finally:
            self._free.release()
