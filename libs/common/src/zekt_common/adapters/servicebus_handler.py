"""An SDK handler, sender or receiver, that is opened when it is needed and replaced after a failure."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Generic

import structlog

from zekt_common.adapters.servicebus_connection import ServiceBusConnection
from zekt_common.adapters.servicebus_unpublished import Handler, connected
from zekt_common.errors import BackendRefused, BackendUnavailable
from zekt_common.kit.supervision import describe

CLOSE_S = 5.0
OPENS_EVERY_S = 0.2
STARTS_WITHIN_S = 5.0
"""For so long a process that starts waits for a connection that another is about to give up."""

log = structlog.get_logger()


class KeptHandler(Generic[Handler]):
    """Holds one open handler; not for two tasks at once, since the SDK's opening and closing race."""

    def __init__(self, create: Callable[[], Handler], connection: ServiceBusConnection, name: str) -> None:
        self._create = create
        self._connection = connection
        self._name = name
        self._open: tuple[Handler, AsyncExitStack] | None = None
        self._discarded: set[asyncio.Task[None]] = set()
        self.trouble: str | None = None

    async def get(self, *, within_s: float = 0.0) -> Handler:
        """Return the handler, opening one if there is none: again and again for so long, should it fail.

        What comes and goes waits like this for a namespace that has no connection to spare.

        Raises:
            BackendUnavailable: it cannot be opened.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while True:
            try:
                return await self._get()
            except BackendRefused:
                raise
            except BackendUnavailable:
                if loop.time() >= until:
                    raise
            await asyncio.sleep(OPENS_EVERY_S)

    async def _get(self) -> Handler:
        if self._open is None:
            try:
                self._open = await self._opened()
            except BackendUnavailable as error:
                self._note(error)
                raise
            if self.trouble is not None:
                log.info("servicebus_recovered", entity=self._name)
            self.trouble = None
        return self._open[0]

    def fail(self, error: BackendUnavailable) -> None:
        """Let go of a handler that failed."""
        self._note(error)
        self.discard()

    def discard(self) -> None:
        """Close the handler by the way: it takes a second, and the next one need not wait for it."""
        if self._open is None:
            return
        (_, stack), self._open = self._open, None
        self._close_by_the_way(stack)

    async def close(self) -> None:
        """Close whatever is open, within seconds; failing leaves only what the broker cleans up."""
        self.discard()
        if self._discarded:
            await asyncio.wait(self._discarded)

    async def _opened(self) -> tuple[Handler, AsyncExitStack]:
        stack = AsyncExitStack()
        try:
            with self._connection.translating():
                handler = await stack.enter_async_context(connected(self._create()))
        except BaseException:
            self._close_by_the_way(stack)
            raise
        return handler, stack

    def _close_by_the_way(self, stack: AsyncExitStack) -> None:
        closing = asyncio.create_task(self._close(stack))
        self._discarded.add(closing)
        closing.add_done_callback(self._discarded.discard)

    async def _close(self, stack: AsyncExitStack) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await stack.aclose()
        except Exception as error:  # noqa: BLE001 - it is gone either way
            log.info("servicebus_close_failed", entity=self._name, **describe(error))

    def _note(self, error: BackendUnavailable) -> None:
        if self.trouble is None:
            log.warning("servicebus_unavailable", entity=self._name, **describe(error))
        self.trouble = str(error)
