"""A Service Bus namespace to test on: the stand-in in the test's own loop, with our topology and any clock."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from libs.common.tests.patience import PATIENCE_S

from zekt_common.adapters.servicebus_connection import ServiceBusConnection
from zekt_common.adapters.servicebus_topology import emulator_config
from zekt_common.clock import Clock
from zekt_sandbox.servicebus import ServiceBusSandbox, serving
from zekt_sandbox.servicebus.clock import Clock as BrokerClock
from zekt_sandbox.servicebus.config import namespace_of
from zekt_sandbox.servicebus.namespace import Namespace


class FollowingClock(BrokerClock):
    """The broker's clock is the test's; it goes on where it was when the broker is started again."""

    def __init__(self, followed: Clock) -> None:
        super().__init__()
        self._followed = followed
        followers = getattr(followed, "followers", None)
        if followers is not None:
            followers.append(lambda: self.advance(0))

    def now(self) -> float:
        return self._followed().timestamp()

    def stop(self) -> None:
        """Keep the alarms: what is stored outlives a broker."""


def namespace(clock: Clock) -> Namespace:
    """Return our topology's entities, empty; what they hold outlives the stand-in."""
    return namespace_of(emulator_config(), FollowingClock(clock))


def serving_again(entities: Namespace) -> AbstractAsyncContextManager[ServiceBusSandbox]:
    """Serve the entities, on a free port."""
    return serving(emulator_config(), namespace=entities)


def connection_to(sandbox: ServiceBusSandbox) -> ServiceBusConnection:
    return ServiceBusConnection(connection_string=sandbox.connection_string)


def connections(sandbox: ServiceBusSandbox) -> frozenset[object]:
    """Return the open connections, to tell one from the next."""
    return frozenset(sandbox._broker.connections)  # noqa: SLF001 - the stand-in counts them only


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in the background."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - the stand-in tells nobody
            await asyncio.sleep(0.02)
