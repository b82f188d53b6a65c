"""A namespace: its topics, and what an address leads to."""

import re

from zekt_sandbox.servicebus.clock import Clock
from zekt_sandbox.servicebus.errors import entity_not_found
from zekt_sandbox.servicebus.receivers import Receivers
from zekt_sandbox.servicebus.subscription import Subscription
from zekt_sandbox.servicebus.topic import Topic, TopicProperties

_ORIGIN = re.compile(r"^[a-z]+://[^/]*", re.IGNORECASE)
_SUBSCRIPTION = re.compile(r"(?P<topic>.+)/subscriptions/(?P<name>[^/]+)(?P<dead_letters>/\$deadletterqueue)?")


class Namespace:
    """Topics by lower-case name: Service Bus does not tell names apart by case."""

    def __init__(self, clock: Clock) -> None:
        self.topics: dict[str, Topic] = {}
        self.clock = clock

    def add_topic(self, name: str, properties: TopicProperties | None = None) -> Topic:
        """Create a topic without subscriptions."""
        topic = Topic(name, self.clock, properties or TopicProperties())
        self.topics[name.lower()] = topic
        return topic

    def topic(self, name: str) -> Topic:
        """Return a topic.

        Raises:
            AmqpError: there is none of this name.
        """
        topic = self.topics.get(name.lower())
        if topic is None:
            raise entity_not_found(name)
        return topic

    def subscription(self, topic: str, name: str) -> Subscription:
        """Return a subscription.

        Raises:
            AmqpError: there is no such topic, or no such subscription of it.
        """
        subscription = self.topic(topic).subscriptions.get(name.lower())
        if subscription is None:
            raise entity_not_found(f"{topic}/Subscriptions/{name}")
        return subscription

    def find(self, path: str) -> Topic | Receivers:
        """Return what an entity's path leads to: a topic, a subscription's queue, or that of its dead letters.

        Raises:
            AmqpError: nothing.
        """
        parts = _SUBSCRIPTION.fullmatch(path)
        if parts is None:
            return self.topic(path)
        subscription = self.subscription(parts["topic"], parts["name"])
        return subscription.dead_letter_receivers if parts["dead_letters"] else subscription.receivers

    def purge(self) -> None:
        """Forget every message and message id; topics and subscriptions stay."""
        for topic in self.topics.values():
            topic.purge()


def entity_path(address: str) -> str:
    """Return the path that an address of any form names, in lower case."""
    return _ORIGIN.sub("", address).strip("/").lower()
