"""A Service Bus namespace to test on: the stand-in in the test's own loop, with our topology and any clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from zekt_common.adapters.servicebus_connection import ServiceBusConnection
from zekt_common.adapters.servicebus_topology import emulator_config
from zekt_common.clock import Clock
from zekt_sandbox.servicebus import DEFAULT_KEY, KEY_NAME, ServiceBusSandbox, config
from zekt_sandbox.servicebus.amqp.connection import Connection
from zekt_sandbox.servicebus.broker import ServiceBusBroker
from zekt_sandbox.servicebus.clock import Clock as BrokerClock
from zekt_sandbox.servicebus.faults import Faults
from zekt_sandbox.servicebus.listener import Listener
from zekt_sandbox.servicebus.namespace import Namespace
from zekt_sandbox.servicebus.tokens import Authorizer


class Followed(Protocol):
    """A clock that tells when it was moved."""

    followers: list[Any]


class FollowingClock(BrokerClock):
    """The broker's clock is the test's; it goes on where it was when the broker is started again."""

    def __init__(self, followed: Clock) -> None:
        super().__init__()
        self._followed = followed
        if hasattr(followed, "followers"):
            followed.followers.append(lambda: self.advance(0))

    def now(self) -> float:
        return self._followed().timestamp()

    def stop(self) -> None:
        """Keep the alarms: what is stored outlives a broker."""


def namespace(clock: Clock) -> Namespace:
    """Return our topology's entities, empty; they hold what brokers are told, one after the other."""
    created = Namespace(FollowingClock(clock))
    config.load(created, emulator_config())
    return created


@asynccontextmanager
async def serving(entities: Namespace) -> AsyncIterator[ServiceBusSandbox]:
    """Serve the entities on a free port."""
    broker = ServiceBusBroker(entities, Authorizer(KEY_NAME, DEFAULT_KEY, None), Faults())
    listener = Listener("127.0.0.1", 0, lambda: Connection(broker))
    sandbox = ServiceBusSandbox(broker, entities._clock, listener, "127.0.0.1", DEFAULT_KEY)  # noqa: SLF001 - its own
    try:
        await listener.open()
        yield sandbox
    finally:
        sandbox.stop()


def connection_to(sandbox: ServiceBusSandbox) -> ServiceBusConnection:
    return ServiceBusConnection(connection_string=sandbox.connection_string)
