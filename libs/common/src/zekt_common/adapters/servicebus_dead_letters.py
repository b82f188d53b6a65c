"""A subscription's dead letters, over links of the moment: they are listed, and deleted when they are old."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver

from zekt_common.adapters.servicebus_connection import ServiceBusConnection
from zekt_common.adapters.servicebus_handler import KeptHandler
from zekt_common.adapters.servicebus_messages import dead_letter
from zekt_common.adapters.servicebus_unpublished import release, unexpiring, withdraw
from zekt_common.clock import Clock
from zekt_common.contracts.topology import Subscription
from zekt_common.ports.bus import DeadLetter
from zekt_common.ports.payloads import RETENTION

PAGE: Final = 250
COMES_WITHIN_S: Final = 5.0
OPENS_WITHIN_S: Final = 10.0


class DeadLetterQueue:
    """What one subscription has given up, in the order in which it did."""

    def __init__(
        self, create: Callable[[], ServiceBusReceiver], connection: ServiceBusConnection, terms: Subscription
    ) -> None:
        self._create = create
        self._connection = connection
        self._terms = terms

    async def oldest(self, limit: int) -> list[DeadLetter]:
        """Peek at those that were given up first, and no further.

        Raises:
            BackendUnavailable: the broker is out of reach.
        """
        async with self._looking() as receiver:
            peeked = await _peek(receiver, limit)
        return sorted(map(self._letter, peeked), key=lambda letter: letter.at)

    async def purge(self, until: datetime) -> int:
        """Delete those at the head of the queue that were given up before `until`; younger ones are only peeked at.

        Raises:
            BackendUnavailable: the broker is out of reach.
        """
        purged = 0
        async with self._looking() as receiver:
            while old := self._old(await receiver.peek_messages(PAGE, sequence_number=1), until):
                if not (deleted := await _delete(receiver, old)):
                    break  # somebody else holds them
                purged += deleted
        return purged

    def _old(self, peeked: Sequence[ServiceBusReceivedMessage], until: datetime) -> set[int]:
        """Return the sequence numbers of the old ones before the first that is not: they are received in order."""
        old: set[int] = set()
        for letter in map(self._letter, peeked):
            if letter.at >= until:
                break
            old.add(letter.sequence)
        return old

    def _letter(self, message: ServiceBusReceivedMessage) -> DeadLetter:
        return dead_letter(message, self._terms.topic, self._terms.name)

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[ServiceBusReceiver]:
        name = f"{self._terms.topic}/{self._terms.name}/dead letters"
        kept = KeptHandler(self._create, self._connection, name)
        try:
            receiver = await kept.get(within_s=OPENS_WITHIN_S)
            with self._connection.translating():
                yield receiver
        finally:
            await kept.close()


class DeadLetterRetention:
    """Deletes dead letters that are older than the payloads they may speak of."""

    def __init__(self, queues: Sequence[DeadLetterQueue], clock: Clock) -> None:
        self._queues = queues
        self._clock = clock

    async def purge(self) -> int:
        """Purge one queue after another, so that it takes one connection only."""
        until = self._clock() - RETENTION
        return sum([await queue.purge(until) for queue in self._queues])


async def _peek(receiver: ServiceBusReceiver, limit: int) -> list[ServiceBusReceivedMessage]:
    found: list[ServiceBusReceivedMessage] = []
    after = 0
    while len(found) < limit:
        page = await receiver.peek_messages(min(PAGE, limit - len(found)), sequence_number=after + 1)
        if not page:
            break
        found += page
        after = page[-1].sequence_number or 0
    return found


async def _delete(receiver: ServiceBusReceiver, wanted: set[int]) -> int:
    """Receive as many as are wanted and complete those that are; what came in place of locked ones goes back."""
    came = await receiver.receive_messages(len(wanted), max_wait_time=COMES_WITHIN_S)
    if len(came) < len(wanted):
        await withdraw(receiver)
    old = [message for message in came if message.sequence_number in wanted]
    young = [message for message in came if message.sequence_number not in wanted]
    await asyncio.gather(
        *(receiver.complete_message(unexpiring(message)) for message in old),
        *(release(receiver, message) for message in young),
    )
    return len(old)
