"""The bus on Service Bus: a topic for each publishing service, a subscription for each consuming one.

Every subscription in use has one receiver in a process and every topic one sender, each with a connection of its own,
since the SDK cannot share one. Senders stay only for topics that are opened; others connect while they are needed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager

from azure.servicebus import ServiceBusSubQueue

from zekt_common.adapters.servicebus_connection import ServiceBusConnection
from zekt_common.adapters.servicebus_dead_letters import DeadLetterQueue, DeadLetterRetention
from zekt_common.adapters.servicebus_link import LOOK_S, SubscriptionLink
from zekt_common.adapters.servicebus_messages import message_id, outgoing
from zekt_common.adapters.servicebus_receiver import SubscriptionReceiver
from zekt_common.adapters.servicebus_sender import FRESH_S, TopicSender, unhurried
from zekt_common.clock import Clock, utc_now
from zekt_common.contracts.topology import SUBSCRIPTIONS, TOPICS, Subscription
from zekt_common.errors import UnknownSubscription
from zekt_common.ports.bus import EVERYONE, DeadLetter, OutgoingMessage, Receiver
from zekt_common.ports.expiring import Expiring

__all__ = ["ServiceBusBus", "open_servicebus_bus"]


@asynccontextmanager
async def open_servicebus_bus(
    connection: ServiceBusConnection,
    *,
    publishes_to: Collection[str] = (),
    clock: Clock = utc_now,
    look_s: float = LOOK_S,
    monotonic: Callable[[], float] = time.monotonic,
) -> AsyncIterator["ServiceBusBus"]:
    """Open the bus, with the senders of the topics that it is going to publish to for as long as it is open.

    Raises:
        SettingsError: the connection's settings are malformed.
        BackendUnavailable: the namespace cannot be reached, refuses the credential or lacks one of the topics.
    """
    bus = ServiceBusBus(connection, clock=clock, look_s=look_s, monotonic=monotonic)
    try:
        await bus.open(publishes_to)
        yield bus
    finally:
        await bus.close()


class ServiceBusBus:
    """The `Bus` port over one namespace. Receivers open when they are first used; other topics' senders come and go.

    `look_s` is how long a receiver looks for messages at a time, `fresh_s` how long an idle sender is trusted.
    """

    def __init__(  # noqa: PLR0913 - the optional ones are tuning
        self,
        connection: ServiceBusConnection,
        *,
        clock: Clock = utc_now,
        topics: Collection[str] = TOPICS,
        subscriptions: Sequence[Subscription] = SUBSCRIPTIONS,
        look_s: float = LOOK_S,
        fresh_s: float = FRESH_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._client = connection.client()
        self._clock, self._monotonic = clock, monotonic
        self._look_s, self._fresh_s = look_s, fresh_s
        self._subscriptions: dict[str, dict[str, Subscription]] = {topic: {} for topic in topics}
        for subscription in subscriptions:
            self._subscriptions[subscription.topic][subscription.name] = subscription
        self._senders: dict[str, TopicSender] = {}
        self._links: dict[Subscription, SubscriptionLink] = {}
        self._receivers: dict[Subscription, SubscriptionReceiver] = {}

    @property
    def trouble(self) -> str | None:
        """Why a topic or subscription in use cannot be reached; None while all can."""
        used: list[TopicSender | SubscriptionLink] = [*self._senders.values(), *self._links.values()]
        return next((each.trouble for each in used if each.trouble is not None), None)

    async def open(self, topics: Collection[str], subscriptions: Collection[Subscription] = ()) -> None:
        """Open the senders of these topics, and the receivers of these subscriptions.

        Raises:
            BackendUnavailable: one cannot be reached.
        """
        senders = (self._sender(topic).open() for topic in topics)
        await asyncio.gather(*senders, *(self._link(each).open() for each in subscriptions))

    async def try_again(self) -> None:
        """Connect the senders that failed when they were last used; receivers do so themselves.

        Raises:
            BackendUnavailable: one still cannot.
        """
        await asyncio.gather(*(sender.try_again() for sender in self._senders.values()))

    async def close(self) -> None:
        """Close all links at once; what was received and not settled stays locked until its lock expires."""
        senders = [sender.close() for sender in self._senders.values()]
        await asyncio.gather(*senders, *(link.close() for link in self._links.values()))
        await self._client.close()

    async def publish(self, topic: str, messages: Sequence[OutgoingMessage], /) -> None:
        """Publish in as few batches as the size limit allows; each is taken whole, and a repeat of all is harmless."""
        for message in messages:
            self._check_address(topic, message.to)
        first_of_each = {message_id(message): message for message in reversed(messages)}
        prepared = [outgoing(message) async for message in unhurried(reversed(first_of_each.values()))]
        if prepared:
            await self._sender(topic).send(prepared)

    async def sync(self) -> None:
        """Do nothing: what Service Bus has accepted is durable."""

    def subscribe(self, topic: str, subscription: str, /) -> Receiver:
        """Return the receiving end of one subscription, the same for everybody in this process."""
        known = self._known(topic, subscription)
        if known not in self._receivers:
            link, sender = self._link(known), self._sender(topic)
            self._receivers[known] = SubscriptionReceiver(
                link, sender, known, clock=self._clock, monotonic=self._monotonic
            )
        return self._receivers[known]

    async def dead_letters(self, topic: str, subscription: str, /, *, limit: int = 100) -> list[DeadLetter]:
        """Peek at the subscription's dead letters over a link of the moment, oldest first."""
        return await self._dead_letters(self._known(topic, subscription)).oldest(limit)

    def dead_letter_retention(self, subscriptions: Collection[Subscription]) -> Expiring:
        """Return what deletes the dead letters of these subscriptions that have been kept for long enough."""
        return DeadLetterRetention([self._dead_letters(each) for each in subscriptions], self._clock)

    def _dead_letters(self, subscription: Subscription) -> DeadLetterQueue:
        topic, name, queue = subscription.topic, subscription.name, ServiceBusSubQueue.DEAD_LETTER
        return DeadLetterQueue(
            lambda: self._client.get_subscription_receiver(topic, name, sub_queue=queue), self._connection, subscription
        )

    def _sender(self, topic: str) -> TopicSender:
        if topic not in self._senders:
            self._senders[topic] = TopicSender(
                lambda: self._client.get_topic_sender(topic), self._connection, topic, fresh_s=self._fresh_s
            )
        return self._senders[topic]

    def _link(self, subscription: Subscription) -> SubscriptionLink:
        if subscription not in self._links:
            topic, name = subscription.topic, subscription.name
            self._links[subscription] = SubscriptionLink(
                lambda: self._client.get_subscription_receiver(topic, name, socket_timeout=self._look_s),
                self._connection,
                subscription,
                look_s=self._look_s,
                monotonic=self._monotonic,
            )
        return self._links[subscription]

    def _known(self, topic: str, name: str) -> Subscription:
        try:
            return self._subscriptions[topic][name]
        except KeyError:
            raise UnknownSubscription(f"the topology has no subscription {name!r} on topic {topic!r}") from None

    def _check_address(self, topic: str, to: str) -> None:
        if topic not in self._subscriptions:
            raise UnknownSubscription(f"the topology has no topic {topic!r}")
        if to != EVERYONE:
            self._known(topic, to)
