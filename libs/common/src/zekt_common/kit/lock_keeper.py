"""Keeping a message's lock while its handler runs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from zekt_common.errors import LockLost
from zekt_common.kit.supervision import describe
from zekt_common.ports import ReceivedMessage

log = structlog.get_logger()


class LockKeeper:
    """Renews a message's lock at each half of its life, without a task until the first half has passed."""

    def __init__(
        self, renew: Callable[[ReceivedMessage], Awaitable[Any]], message: ReceivedMessage, every_s: float
    ) -> None:
        self._renew, self._message, self._every_s = renew, message, every_s
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(every_s, self._begin)

    def stop(self) -> None:
        """Let the lock be: it was settled or is to be given back."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            try:
                await self._renew(self._message)
            except LockLost:
                return  # settling will say so
            except Exception as error:  # noqa: BLE001 - the next renewal may still come in time
                log.warning("message_lock_not_renewed", message_id=self._message.message_id, **describe(error))
            await asyncio.sleep(self._every_s)
