"""One namespace in the test's own loop, and a bus on it."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import ClassVar

import pytest
from libs.common.tests.servicebus.standin import connection_to, namespace, serving_again

from zekt_common.adapters.servicebus_bus import ServiceBusBus, open_servicebus_bus
from zekt_common.clock import utc_now
from zekt_common.envelope import Envelope, Event, NewEvent, seal
from zekt_common.ports import OutgoingMessage
from zekt_sandbox.servicebus import ServiceBusSandbox


class Noted(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.noted"
    text: str


def sealed(stream: str, text: str = "") -> Envelope:
    event = NewEvent(body=Noted(text=text), source="/zekt/test", subject=stream, correlationid="c", causationid="c")
    return seal(event, stream=stream, version=1, commitid="c", time=datetime.now(UTC))


@pytest.fixture
async def sandbox() -> AsyncIterator[ServiceBusSandbox]:
    async with serving_again(namespace(utc_now)) as running:
        yield running


@pytest.fixture
async def bus(sandbox: ServiceBusSandbox) -> AsyncIterator[ServiceBusBus]:
    async with open_servicebus_bus(connection_to(sandbox), publishes_to=["router"]) as opened:
        yield opened


@pytest.fixture(scope="session")
def message() -> Callable[..., OutgoingMessage]:
    """Make a message for the subscription `dispatcher`."""
    return lambda stream, text="": OutgoingMessage(envelope=sealed(stream, text), to="dispatcher")
