"""The `Receiver` port over one Service Bus subscription."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver

from zekt_common.adapters.servicebus_browser import SubscriptionBrowser
from zekt_common.adapters.servicebus_clocks import ClockComparison
from zekt_common.adapters.servicebus_link import SubscriptionLink
from zekt_common.adapters.servicebus_messages import MAX_REASON, received, retry_copy
from zekt_common.adapters.servicebus_sender import TopicSender
from zekt_common.adapters.servicebus_unpublished import release, unexpiring
from zekt_common.clock import Clock
from zekt_common.contracts.topology import Subscription
from zekt_common.errors import LockLost
from zekt_common.ports.bus import ReceivedMessage

Act = Callable[[ServiceBusReceiver, ServiceBusReceivedMessage], Awaitable[None]]


class SubscriptionReceiver:
    """Receives over `link`; retries go through the topic's `sender`.

    Every call but `receive` raises BackendUnavailable while the broker is out of reach. Locks are measured from receipt
    by `monotonic`: when they end by the broker's clock says little here.
    """

    def __init__(
        self,
        link: SubscriptionLink,
        sender: TopicSender,
        terms: Subscription,
        *,
        clock: Clock,
        monotonic: Callable[[], float],
    ) -> None:
        self._link, self._sender = link, sender
        self._terms = terms
        self._clock, self._monotonic = clock, monotonic
        self._browser = SubscriptionBrowser(link, sender, terms.name)
        self._held: dict[str, _Held] = {}
        self._clocks = ClockComparison(terms, clock)

    async def receive(self, max_messages: int, /, *, timeout_s: float) -> list[ReceivedMessage]:
        """Lock and return up to `max_messages`; while the broker is out of reach there are none."""
        messages = await self._link.receive(max_messages, timeout_s=timeout_s)
        self._forget_expired()
        expires = self._monotonic() + self._terms.lock_s
        self._held.update((str(message.lock_token), _Held(message, expires)) for message in messages)
        self._clocks.compare(messages)
        return [received(message, self._end_of_lock()) for message in messages]

    async def complete(self, message: ReceivedMessage, /) -> None:
        """Complete the message, in one turn with whatever else is settled now."""
        await self._settle(message, ServiceBusReceiver.complete_message)

    async def retry(self, message: ReceivedMessage, /, *, after_s: float) -> None:
        """Send the copy, then complete the message: in between both exist, and a repeat is dropped as a duplicate."""
        await self.renew(message)  # a copy must not be sent for a message that is somebody else's by now
        due = self._clock() + timedelta(seconds=after_s) if after_s > 0 else None
        await self._sender.send([retry_copy(self._taken(message), self._terms.name, due)])
        await self.complete(message)

    async def dead_letter(self, message: ReceivedMessage, reason: str, /) -> None:
        """Dead-letter the message; its description is the time."""
        at = self._clock().isoformat()

        async def bury(receiver: ServiceBusReceiver, held: ServiceBusReceivedMessage) -> None:
            await receiver.dead_letter_message(held, reason=reason[:MAX_REASON], error_description=at)

        await self._settle(message, bury)

    async def renew(self, message: ReceivedMessage, /) -> datetime:
        """Extend the lock by the subscription's lock duration."""
        held = self._taken(message)
        await self._link.perform(lambda receiver: receiver.renew_message_lock(held), about=message.lock)
        if message.lock in self._held:
            self._held[message.lock] = _Held(held, self._monotonic() + self._terms.lock_s)
        return self._end_of_lock()

    async def release(self, messages: Sequence[ReceivedMessage], /) -> None:
        """End the locks now, without the broker counting a delivery."""
        await asyncio.gather(*(self._release(message) for message in messages))

    async def unsettled(self, subjects: Collection[str], /) -> set[str]:
        """Peek for the subjects in the subscription and among what is scheduled in the topic."""
        return await self._browser.unsettled(subjects)

    async def is_empty(self) -> bool:
        """Peek into the subscription, and if nothing is there among what is scheduled in the topic."""
        return await self._browser.is_empty()

    async def backlog(self) -> int:
        """Count by peeking, up to a thousand."""
        return await self._browser.backlog()

    async def _release(self, message: ReceivedMessage) -> None:
        with suppress(LockLost):
            await self._settle(message, release)

    async def _settle(self, message: ReceivedMessage, act: Act) -> None:
        held = self._taken(message)
        try:
            await self._link.perform(lambda receiver: act(receiver, unexpiring(held)), about=message.lock)
        except LockLost:
            self._held.pop(message.lock, None)
            raise
        self._held.pop(message.lock, None)

    def _taken(self, message: ReceivedMessage) -> ServiceBusReceivedMessage:
        try:
            return self._held[message.lock].message
        except KeyError:
            raise LockLost(f"{message.message_id} was settled, or its lock has expired") from None

    def _forget_expired(self) -> None:
        now = self._monotonic()
        for lock in [lock for lock, held in self._held.items() if held.expires <= now]:
            del self._held[lock]

    def _end_of_lock(self) -> datetime:
        return self._clock() + timedelta(seconds=self._terms.lock_s)


class _Held(NamedTuple):
    """A message that was given out, and when its lock ends by our own monotonic clock."""

    message: ServiceBusReceivedMessage
    expires: float
