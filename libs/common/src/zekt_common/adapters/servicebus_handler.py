"""An SDK handler, sender or receiver, that is opened when it is needed and replaced after a failure."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Generic, TypeVar

import structlog

from zekt_common.adapters.servicebus_connection import ServiceBusConnection
from zekt_common.errors import BackendUnavailable
from zekt_common.kit.supervision import describe

CLOSE_S = 5.0

Handler = TypeVar("Handler", bound=AbstractAsyncContextManager[Any])

log = structlog.get_logger()


class KeptHandler(Generic[Handler]):
    """Holds one open handler; not for two tasks at once, since the SDK's opening and closing race."""

    def __init__(self, create: Callable[[], Handler], connection: ServiceBusConnection, name: str) -> None:
        self._create = create
        self._connection = connection
        self._name = name
        self._open: tuple[Handler, AsyncExitStack] | None = None
        self.trouble: str | None = None

    async def get(self) -> Handler:
        """Return the handler, opening one if there is none.

        Raises:
            BackendUnavailable: it cannot be opened.
        """
        if self._open is None:
            stack = AsyncExitStack()
            try:
                with self._connection.translating():
                    handler = await stack.enter_async_context(self._create())
            except BackendUnavailable as error:
                self._note(error)
                raise
            self._open = (handler, stack)
            if self.trouble is not None:
                log.info("servicebus_recovered", entity=self._name)
            self.trouble = None
        return self._open[0]

    async def fail(self, error: BackendUnavailable) -> None:
        """Let go of a handler that failed."""
        self._note(error)
        await self.close()

    async def close(self) -> None:
        """Close the handler if there is one, within seconds; failing leaves only what the broker cleans up."""
        if self._open is None:
            return
        (_, stack), self._open = self._open, None
        began = time.monotonic()
        try:
            async with asyncio.timeout(CLOSE_S):
                await stack.aclose()
        except Exception as error:  # noqa: BLE001 - it is gone either way
            log.info("servicebus_close_failed", entity=self._name, after_s=time.monotonic() - began, **describe(error))

    def _note(self, error: BackendUnavailable) -> None:
        if self.trouble is None:
            log.warning("servicebus_unavailable", entity=self._name, **describe(error))
        self.trouble = str(error)
