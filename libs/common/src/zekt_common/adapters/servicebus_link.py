"""A subscription's link, on which everything is done in turn by one task.

The SDK settles ten times slower while a receive is under way, and two uses of a broken link race. So each turn first
does all that was asked of the link, together, and then looks for messages, for a moment only.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver

from zekt_common.adapters.servicebus_connection import ServiceBusConnection
from zekt_common.adapters.servicebus_handler import KeptHandler
from zekt_common.adapters.servicebus_unpublished import release
from zekt_common.errors import BackendUnavailable, ZektError
from zekt_common.kit.supervision import growing_pause_s

LOOK_S = 0.02
IDLE_LOOK_S = 0.1
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0

Result = TypeVar("Result")


class SubscriptionLink:
    """Receives and settles for one subscription.

    `look_s` is how long one look lasts that finds fewer messages than were asked for.
    """

    def __init__(
        self,
        create: Callable[[], ServiceBusReceiver],
        connection: ServiceBusConnection,
        name: str,
        *,
        look_s: float = LOOK_S,
    ) -> None:
        self._kept = KeptHandler(create, connection, name)
        self._connection = connection
        self._look_s = look_s
        self._demands: deque[_Demand] = deque()
        self._operations: list[_Operation] = []
        self._asked = asyncio.Event()
        self._closing = False
        self._quiet = False
        self._failures = 0
        self._rested_at = 0.0
        self._worker: asyncio.Task[None] | None = None

    @property
    def trouble(self) -> str | None:
        """Why the last attempt failed; None if it did not."""
        return self._kept.trouble

    async def receive(self, limit: int, *, timeout_s: float) -> list[ServiceBusReceivedMessage]:
        """Lock and return up to `limit` messages; none after `timeout_s`, nor while the broker is out of reach."""
        demand = _Demand(limit, timeout_s)
        self._demands.append(demand)
        self._ask()
        return await demand.answer

    async def perform(
        self, operation: Callable[[ServiceBusReceiver], Awaitable[Result]], *, about: object = None
    ) -> Result:
        """Do something on the link in the next turn, after what was asked before `about` the same message.

        Raises:
            LockLost: the message's lock has expired or passed on.
            BackendUnavailable: the broker is out of reach.
        """
        asked = _Operation(operation, object() if about is None else about)
        self._operations.append(asked)
        self._ask()
        return cast("Result", await asked.answer)

    async def close(self) -> None:
        """End the turn under way, give back what nobody waits for any more, and close."""
        self._closing = True
        self._asked.set()
        if self._worker is not None:
            await asyncio.wait([self._worker])
        for answer in (*(each.answer for each in self._demands), *(each.answer for each in self._operations)):
            answer.cancel()
        await self._kept.close()

    def _ask(self) -> None:
        if self._closing:
            raise BackendUnavailable("the bus is closed")
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        self._asked.set()

    async def _work(self) -> None:
        while not self._closing:
            await self._operate()
            await self._serve()
            await self._rest()

    async def _rest(self) -> None:
        """Wait for something to do: an operation, or a look once the pause after a failure has passed."""
        self._asked.clear()
        pause_s = self._rested_at - asyncio.get_running_loop().time()
        if self._closing or self._operations or (self._demands and pause_s <= 0):
            return
        timeout_s = min(pause_s, self._demands[0].left_s) if self._demands else None
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._asked.wait()

    async def _operate(self) -> None:
        """Do together what was asked, the first about each message."""
        turn: dict[object, _Operation] = {}
        for operation in self._operations:
            turn.setdefault(operation.about, operation)
        if not turn:
            return
        self._operations = [each for each in self._operations if turn[each.about] is not each]
        try:
            receiver = await self._kept.get()
        except BackendUnavailable as error:
            for operation in turn.values():
                operation.fail(error)
            return
        failures = await asyncio.gather(*(each.run(receiver, self._connection) for each in turn.values()))
        for failure in filter(None, failures):
            await self._fail(failure)
            break

    async def _serve(self) -> None:
        """Look on behalf of whoever asked first; what comes for somebody who has left goes back."""
        if not self._demands:
            return
        demand = self._demands[0]
        messages = [] if demand.answer.done() else await self._look(demand)
        if not (messages or demand.answer.done() or demand.left_s <= 0):
            return
        self._demands.popleft()
        if not demand.answer.done():
            demand.answer.set_result(messages)
        elif messages:
            await self._give_back(messages)

    async def _look(self, demand: "_Demand") -> list[ServiceBusReceivedMessage]:
        if asyncio.get_running_loop().time() < self._rested_at:
            return []
        try:
            receiver = await self._kept.get()
            with self._connection.translating():
                messages = await _received(receiver, *self._extent(demand))
        except ZektError as error:
            await self._fail(error)
            return []
        self._failures = 0
        self._quiet = not messages
        return messages

    def _extent(self, demand: "_Demand") -> tuple[int, float]:
        """Return for how many messages to look and how long: when it is quiet longer, for the first, which then is not
        kept waiting for others.
        """
        idle = self._quiet and demand.left_s > IDLE_LOOK_S
        return (1, IDLE_LOOK_S) if idle else (demand.limit, self._look_s)

    async def _give_back(self, messages: list[ServiceBusReceivedMessage]) -> None:
        with suppress(ZektError):  # then the locks expire
            receiver = await self._kept.get()
            with self._connection.translating():
                await asyncio.gather(*(release(receiver, message) for message in messages))

    async def _fail(self, error: ZektError) -> None:
        self._failures += 1
        pause_s = growing_pause_s(self._failures, first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S)
        self._rested_at = asyncio.get_running_loop().time() + pause_s
        if isinstance(error, BackendUnavailable):
            await self._kept.fail(error)


async def _received(receiver: ServiceBusReceiver, limit: int, within_s: float) -> list[ServiceBusReceivedMessage]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    messages = await receiver.receive_messages(limit, max_wait_time=within_s)
    if not messages and loop.time() - began < within_s / 2:
        raise ConnectionError("a link that gives nothing and does not wait has been dropped unnoticed")
    return messages


class _Demand:
    """Somebody waiting for messages."""

    def __init__(self, limit: int, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        self.limit = limit
        self._until = loop.time() + timeout_s
        self.answer: asyncio.Future[list[ServiceBusReceivedMessage]] = loop.create_future()

    @property
    def left_s(self) -> float:
        return self._until - asyncio.get_running_loop().time()


class _Operation:
    """Something to do on the link, and somebody waiting for what comes of it."""

    def __init__(self, action: Callable[[ServiceBusReceiver], Awaitable[Any]], about: object) -> None:
        self._action = action
        self.about = about
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def run(self, receiver: ServiceBusReceiver, connection: ServiceBusConnection) -> BackendUnavailable | None:
        """Do it and answer; return what makes the link unusable."""
        if self.answer.done():
            return None
        try:
            with connection.translating():
                result = await self._action(receiver)
        except ZektError as error:
            self.fail(error)
            return error if isinstance(error, BackendUnavailable) else None
        if not self.answer.done():
            self.answer.set_result(result)
        return None

    def fail(self, error: ZektError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
