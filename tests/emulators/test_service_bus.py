"""The bus over the official Service Bus emulator, in real time: its clock cannot be turned as contract suites do."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import ClassVar
from uuid import uuid4

import pytest

from tests.emulators.containers import WANTED, servicebus_emulator
from zekt_common.adapters.servicebus_bus import ServiceBusBus, open_servicebus_bus
from zekt_common.adapters.servicebus_connection import ServiceBusConnection
from zekt_common.envelope import Envelope, Event, NewEvent, decode, seal
from zekt_common.ports import OutgoingMessage, ReceivedMessage, Receiver

pytestmark = pytest.mark.skipif(
    not WANTED, reason="the official emulator of Service Bus: `make test-emulators` runs it"
)
COMES_WITHIN_S = 20.0
NOTHING_COMES_IN_S = 2.0


class Noted(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.noted-on-the-emulator"
    text: str


@pytest.fixture(scope="module")
def emulator() -> Iterator[ServiceBusConnection]:
    with servicebus_emulator() as connection:
        yield connection


@pytest.fixture
async def bus(emulator: ServiceBusConnection) -> AsyncIterator[ServiceBusBus]:
    async with open_servicebus_bus(emulator) as opened:
        yield opened


@pytest.fixture
def sent() -> Envelope:
    """An envelope that no other test has sent."""
    stream = f"run/{uuid4().hex}"
    event = NewEvent(
        body=Noted(text="said"),
        source="/zekt/test",
        subject="1/2",
        correlationid="1/2",
        causationid="cause",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        accountid="7",
    )
    return seal(event, stream=stream, version=1, commitid="c", time=datetime.now(UTC))


def dispatcher(bus: ServiceBusBus) -> Receiver:
    return bus.subscribe("router", "dispatcher")


async def take_one(receiver: Receiver) -> ReceivedMessage:
    (message,) = await receiver.receive(1, timeout_s=COMES_WITHIN_S)
    return message


async def test_a_message_reaches_every_subscription_of_its_topic(bus: ServiceBusBus, sent: Envelope) -> None:
    await bus.publish("router", [OutgoingMessage(envelope=sent)])
    for receiver in (dispatcher(bus), bus.subscribe("router", "ingress")):
        message = await take_one(receiver)
        assert decode(message.body) == sent
        await receiver.complete(message)


async def test_an_addressed_message_reaches_one_subscription(bus: ServiceBusBus, sent: Envelope) -> None:
    await bus.publish("router", [OutgoingMessage(envelope=sent, to="dispatcher")])
    await dispatcher(bus).complete(await take_one(dispatcher(bus)))
    assert await bus.subscribe("router", "ingress").receive(1, timeout_s=NOTHING_COMES_IN_S) == []


async def test_a_message_published_twice_comes_once(bus: ServiceBusBus, sent: Envelope) -> None:
    for _ in range(2):
        await bus.publish("router", [OutgoingMessage(envelope=sent, to="dispatcher")])
    await dispatcher(bus).complete(await take_one(dispatcher(bus)))
    assert await dispatcher(bus).receive(1, timeout_s=NOTHING_COMES_IN_S) == []


async def test_a_retry_comes_back_within_the_duplicate_detection_window(bus: ServiceBusBus, sent: Envelope) -> None:
    await bus.publish("router", [OutgoingMessage(envelope=sent, to="dispatcher")])
    await dispatcher(bus).retry(await take_one(dispatcher(bus)), after_s=1)
    again = await take_one(dispatcher(bus))
    assert (again.message_id, again.attempt) == (f"{sent.id}~dispatcher~r2", 2)
    await dispatcher(bus).complete(again)


async def test_a_dead_letter_keeps_its_reason(bus: ServiceBusBus, sent: Envelope) -> None:
    await bus.publish("router", [OutgoingMessage(envelope=sent, to="dispatcher")])
    await dispatcher(bus).dead_letter(await take_one(dispatcher(bus)), "refused by the test")
    (kept,) = [each for each in await bus.dead_letters("router", "dispatcher") if each.message_id == sent.id]
    assert kept.reason == "refused by the test"
