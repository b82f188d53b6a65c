"""A subscription's link, on which everything is done in turn by one task.

The SDK settles ten times slower while a receive is under way, and two uses of a broken link race. So each turn first
does all that was asked of the link, together, and then looks for messages, for a moment only.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver

from zekt_common.adapters.servicebus_connection import OPERATION_S, ServiceBusConnection
from zekt_common.adapters.servicebus_handler import STARTS_WITHIN_S, KeptHandler
from zekt_common.adapters.servicebus_unpublished import release, withdraw
from zekt_common.contracts.topology import Subscription
from zekt_common.errors import BackendUnavailable, ZektError
from zekt_common.kit.supervision import finish, growing_pause_s

OPERATIONS_AT_ONCE = 100
LOOK_S = 0.05
IDLE_LOOK_S = 0.1
ABANDONED_S = 0.05
LOOKS_IN_A_ROW = 10
BURST = 20
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
TURN_ENDS_WITHIN_S = 2.0

Result = TypeVar("Result")


class SubscriptionLink:
    """Receives and settles for one subscription.

    `look_s` is how long one look lasts that finds fewer messages than were asked for. How long a message may have been
    locked before it is given out is judged by `monotonic`, since the broker's clock and ours may differ by any amount.
    """

    def __init__(
        self,
        create: Callable[[], ServiceBusReceiver],
        connection: ServiceBusConnection,
        terms: Subscription,
        *,
        look_s: float = LOOK_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock_s = terms.lock_s
        self._monotonic = monotonic
        self._locked_since = 0.0
        self._kept = KeptHandler(create, connection, f"{terms.topic}/{terms.name}")
        self._connection = connection
        self._look_s = look_s
        self._demands: deque[_Demand] = deque()
        self._operations: list[_Operation] = []
        self._asked = asyncio.Event()
        self._closing = False
        self._quiet = False
        self._expecting = False
        self._failures = 0
        self._rested_at = 0.0
        self._worker: asyncio.Task[None] | None = None

    @property
    def trouble(self) -> str | None:
        """Why the last attempt failed; None if it did not."""
        return self._kept.trouble

    async def receive(self, limit: int, *, timeout_s: float) -> list[ServiceBusReceivedMessage]:
        """Lock and return up to `limit` messages; none after `timeout_s`, nor while the broker is out of reach."""
        if limit == 0:
            return []
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

    async def open(self) -> None:
        """Connect, and look whether the subscription is there.

        Raises:
            BackendUnavailable: it cannot be reached.
        """
        await self._kept.get(within_s=STARTS_WITHIN_S)
        await self.perform(lambda receiver: receiver.peek_messages(1))

    async def close(self) -> None:
        """End the turn under way, give back what nobody waits for any more, and close."""
        self._closing = True
        self._asked.set()
        if self._worker is not None:
            await finish([self._worker], within_s=TURN_ENDS_WITHIN_S)  # opening may hang
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
        if self._demands:
            await self._asked_within(min(pause_s, self._demands[0].left_s))
        elif self._expecting and not await self._asked_within(ABANDONED_S):
            await self._withdraw()
        else:
            await self._asked.wait()

    async def _asked_within(self, timeout_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                return await self._asked.wait()
        return False

    async def _withdraw(self) -> None:
        """Let messages go to other receivers while nobody here looks for them."""
        self._expecting = False
        try:
            receiver = await self._kept.get()
            with self._connection.translating():
                await withdraw(receiver)
        except ZektError as error:
            self._fail(error)

    async def _operate(self) -> None:
        """Do together what was asked, the first about each message; what breaks the link, once more over a new one."""
        turn = self._take_turn()
        if not turn or await self._run(turn) is None:
            return
        left = [operation for operation in turn if not operation.answer.done()]
        error = await self._run(left)
        for operation in left:
            if error is not None:
                operation.fail(error)

    def _take_turn(self) -> list["_Operation"]:
        first: dict[object, _Operation] = {}
        for operation in self._operations:
            first.setdefault(operation.about, operation)
        self._operations = [operation for operation in self._operations if first[operation.about] is not operation]
        return list(first.values())

    async def _run(self, operations: list["_Operation"]) -> BackendUnavailable | None:
        """Run the operations and return what broke the link, if it broke; those that it broke are unanswered then.

        So many at once only, that the time of each tells of the broker and not of the queue before it.
        """
        try:
            receiver = await self._kept.get()
        except BackendUnavailable as error:
            return error
        waiting, failures = iter(operations), list[BackendUnavailable]()

        async def run_in_turn() -> None:
            for operation in waiting:
                failure = await operation.run(receiver, self._connection)
                if failure is not None:
                    failures.append(failure)
                if failures:
                    return

        await asyncio.gather(*(run_in_turn() for _ in operations[:OPERATIONS_AT_ONCE]))
        if not failures:
            return None
        self._fail(failures[0])
        return failures[0]

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
            messages = await self._locked(receiver, *self._extent(demand))
        except ZektError as error:
            self._fail(error)
            return []
        self._failures = 0
        self._quiet = not messages
        return messages

    async def _locked(
        self, receiver: ServiceBusReceiver, limit: int, within_s: float
    ) -> list[ServiceBusReceivedMessage]:
        """Look, and send back what may have lain here, on earlier credit, until its lock ended: it comes anew."""
        while True:
            began = self._monotonic()
            since = self._locked_since if self._expecting else began
            with self._connection.translating():
                messages = await _received(receiver, limit, within_s)
            self._locked_since, self._expecting = began, len(messages) < limit
            if not messages or self._monotonic() - since < self._lock_s:
                return messages
            await self._give_back(messages)

    def _extent(self, demand: "_Demand") -> tuple[int, float]:
        """Return for how many messages to look and how long: while it is quiet longer, but for the first one only."""
        idle = self._quiet and demand.left_s > IDLE_LOOK_S
        return (1, IDLE_LOOK_S) if idle else (demand.limit, self._look_s)

    async def _give_back(self, messages: list[ServiceBusReceivedMessage]) -> None:
        with suppress(ZektError):  # then the locks expire
            receiver = await self._kept.get()
            with self._connection.translating():
                await asyncio.gather(*(release(receiver, message) for message in messages))

    def _fail(self, error: ZektError) -> None:
        self._failures += 1
        pause_s = growing_pause_s(self._failures, first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S)
        self._rested_at = asyncio.get_running_loop().time() + pause_s
        if isinstance(error, BackendUnavailable):
            self._expecting = False  # credit ends with its link
            self._kept.fail(error)


async def _received(receiver: ServiceBusReceiver, limit: int, within_s: float) -> list[ServiceBusReceivedMessage]:
    """Look again while more come: those under way when a look ends would be sent back and come a second time."""
    loop = asyncio.get_running_loop()
    messages: list[ServiceBusReceivedMessage] = []
    for _ in range(LOOKS_IN_A_ROW):
        began = loop.time()
        came = await receiver.receive_messages(limit - len(messages), max_wait_time=within_s)
        messages += came
        if not came and loop.time() - began < within_s / 2:
            raise ConnectionError("a link that gives nothing and does not wait has been dropped unnoticed")
        if len(came) < BURST or len(messages) == limit:
            break
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
        """Do it and answer, or return what broke the link."""
        if self.answer.done():
            return None
        try:
            with connection.translating():
                async with asyncio.timeout(OPERATION_S):  # over a link that the broker detached the SDK waits on
                    result = await self._action(receiver)
        except BackendUnavailable as error:
            return error
        except ZektError as error:
            self.fail(error)
            return None
        if not self.answer.done():
            self.answer.set_result(result)
        return None

    def fail(self, error: ZektError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
