"""A topic's sender: one at a time, in batches as large as they may be, and kept from going stale."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch, ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusSender
from azure.servicebus.exceptions import MessageSizeExceededError

from zekt_common.adapters.servicebus_connection import ATTEMPT_S, OPERATION_S, ServiceBusConnection
from zekt_common.adapters.servicebus_handler import STARTS_WITHIN_S, KeptHandler
from zekt_common.adapters.servicebus_messages import too_large
from zekt_common.adapters.servicebus_unpublished import peek_scheduled
from zekt_common.errors import BackendUnavailable

FRESH_S = 300.0
LINGER_S = 1.0
OPENS_WITHIN_S = 3.0
UNCOUNTED_BYTES = 1024
GIVES_WAY_EVERY = 50

Item = TypeVar("Item")


class TopicSender:
    """Sends to one topic.

    Once opened it stays so: after `fresh_s` without a message the link is replaced, since the broker drops idle ones.
    One that was never opened connects when it is used, and takes no connection up once it has been idle for a moment.
    """

    def __init__(
        self,
        create: Callable[[], ServiceBusSender],
        connection: ServiceBusConnection,
        topic: str,
        *,
        fresh_s: float = FRESH_S,
    ) -> None:
        self._kept = KeptHandler(create, connection, topic)
        self._connection = connection
        self._fresh_s = fresh_s
        self._turn = asyncio.Lock()
        self._used_at = asyncio.get_running_loop().time()
        self._keeper: asyncio.Task[None] | None = None
        self._stays = False

    @property
    def trouble(self) -> str | None:
        """Why the last attempt failed; None if it did not."""
        return self._kept.trouble

    async def open(self) -> None:
        """Connect, and from now on keep the link fresh.

        Raises:
            BackendUnavailable: the topic cannot be reached.
        """
        self._stays = True
        async with self._turn:
            await self._kept.get(within_s=STARTS_WITHIN_S)
            self._used_at = asyncio.get_running_loop().time()
        self._keep()

    async def try_again(self) -> None:
        """Connect, if that failed when it was last tried.

        Raises:
            BackendUnavailable: the topic cannot be reached.
        """
        if self.trouble is not None:
            async with self._using():
                pass

    async def send(self, messages: Sequence[ServiceBusMessage]) -> None:
        """Send all, each batch whole; after an error repeat them all: what got there before is dropped as a duplicate.

        Raises:
            MessageTooLarge: one does not fit, and none was sent; or the broker finds a batch too large that the SDK
                took to fit, and fewer may be taken.
            BackendUnavailable: not all were sent, as far as we know.
        """
        try:
            await self._send(messages)
        except BackendUnavailable:  # a link that broke while idle shows only now: once more over a new one
            await self._send(messages)

    async def scheduled(self, *, first_sequence: int, limit: int) -> list[ServiceBusReceivedMessage]:
        """Return a page of the messages that wait in the topic until they are due; none after the last.

        Raises:
            BackendUnavailable: the topic cannot be reached.
        """
        try:
            return await self._scheduled(first_sequence, limit)
        except BackendUnavailable:  # likewise
            return await self._scheduled(first_sequence, limit)

    async def let_go(self) -> None:
        """Give up at once a connection that is kept for a moment only: others may wait for it."""
        if not self._stays:
            async with self._turn:
                self._kept.discard()

    async def _send(self, messages: Sequence[ServiceBusMessage]) -> None:
        async with self._using() as sender:
            for batch in await _fill(sender, messages):
                try:
                    await sender.send_messages(batch, timeout=ATTEMPT_S)
                except MessageSizeExceededError:
                    self._kept.discard()  # the broker ends a link that sends too much
                    raise too_large("a batch") from None

    async def _scheduled(self, first_sequence: int, limit: int) -> list[ServiceBusReceivedMessage]:
        async with self._using() as sender, asyncio.timeout(OPERATION_S):
            return await peek_scheduled(sender, first_sequence=first_sequence, limit=limit)

    async def close(self) -> None:
        """Close the link."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        async with self._turn:
            await self._kept.close()

    @asynccontextmanager
    async def _using(self) -> AsyncIterator[ServiceBusSender]:
        async with self._turn:
            sender = await self._kept.get(within_s=0.0 if self._stays else OPENS_WITHIN_S)
            self._keep()
            try:
                with self._connection.translating():
                    yield sender
            except BackendUnavailable as error:
                self._kept.fail(error)
                raise
            self._used_at = asyncio.get_running_loop().time()

    def _keep(self) -> None:
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._look_after())

    async def _look_after(self) -> None:
        """Replace a link that stays whenever it was idle for long; close one that does not, and be done."""
        loop = asyncio.get_running_loop()
        while True:
            idle_s = self._fresh_s if self._stays else LINGER_S
            await asyncio.sleep(idle_s - (loop.time() - self._used_at))
            async with self._turn:
                if loop.time() - self._used_at < idle_s:
                    continue
                self._kept.discard()
                if not self._stays:
                    return
                with suppress(BackendUnavailable):  # noted; the next message tries again
                    await self._kept.get()
                self._used_at = loop.time()


async def unhurried(items: Iterable[Item]) -> AsyncIterator[Item]:
    """Yield the items, and let others run after every few: encoding a page of messages would hold them up."""
    for number, item in enumerate(items, start=1):
        yield item
        if number % GIVES_WAY_EVERY == 0:
            await asyncio.sleep(0)


async def _fill(sender: ServiceBusSender, messages: Sequence[ServiceBusMessage]) -> list[ServiceBusMessageBatch]:
    batches: list[ServiceBusMessageBatch] = []
    async for message in unhurried(messages):
        if not (batches and _fits(batches[-1], message)):
            batches.append(await _new_batch(sender))
            if not _fits(batches[-1], message):
                raise too_large(str(message.message_id))
    return batches


async def _new_batch(sender: ServiceBusSender) -> ServiceBusMessageBatch:
    """Leave room for what the SDK repeats of the first message beside all of them, without counting it."""
    whole = await sender.create_message_batch()
    return await sender.create_message_batch(whole.max_size_in_bytes - UNCOUNTED_BYTES)


def _fits(batch: ServiceBusMessageBatch, message: ServiceBusMessage) -> bool:
    try:
        batch.add_message(message)
    except MessageSizeExceededError:
        return False
    return True
