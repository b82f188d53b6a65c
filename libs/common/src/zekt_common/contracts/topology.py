"""Who publishes what and who consumes it: the one table that adapters, charts and emulators follow."""

from typing import Final

import msgspec


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """One consuming service's subscription to one publishing service's topic."""

    topic: str
    name: str
    lock_s: float = 10.0
    max_attempts: int = 10


TOPICS: Final = ("ingress", "identity", "router", "dispatcher")

SUBSCRIPTIONS: Final = (
    Subscription(topic="ingress", name="router"),
    Subscription(topic="ingress", name="identity"),
    Subscription(topic="identity", name="router"),
    Subscription(topic="identity", name="dispatcher"),
    Subscription(topic="router", name="ingress"),
    Subscription(topic="router", name="dispatcher"),
)

DUPLICATE_WINDOW_S: Final = 600.0


def subscriptions_of(topic: str) -> tuple[Subscription, ...]:
    """Return the subscriptions of `topic`."""
    return tuple(subscription for subscription in SUBSCRIPTIONS if subscription.topic == topic)
