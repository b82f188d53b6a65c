"""The bus in real time, over the stand-in always and over the official emulator where it is asked for.

The emulator's clock cannot be turned as contract suites do. What both do here, the stand-in does truly.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import ClassVar
from uuid import uuid4

import pytest

from tests.emulators.containers import WANTED, servicebus_emulator, servicebus_stand_in
from zekt_common.adapters.servicebus_bus import ServiceBusBus, open_servicebus_bus
from zekt_common.adapters.servicebus_connection import ServiceBusConnection
from zekt_common.adapters.servicebus_topology import EMULATOR_MAX_DELIVERY_COUNT
from zekt_common.envelope import Envelope, Event, NewEvent, decode, seal
from zekt_common.errors import LockLost
from zekt_common.ports import OutgoingMessage, ReceivedMessage, Receiver

OFFICIAL = pytest.mark.skipif(not WANTED, reason="the official emulator of Service Bus: `make test-emulators` runs it")
LOCK_S = 10.0
ABANDONED_AFTER_S = 1.0
COMES_WITHIN_S = 20.0
NOTHING_COMES_IN_S = 2.0


class Noted(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.noted-on-the-emulator"
    text: str


@pytest.fixture(scope="module", params=["stand-in", pytest.param("official", marks=OFFICIAL)])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceBusConnection]:
    stand_in = request.param == "stand-in"
    with servicebus_stand_in(tmp_path_factory.mktemp("bus")) if stand_in else servicebus_emulator() as connection:
        yield connection


@pytest.fixture
async def bus(broker: ServiceBusConnection) -> AsyncIterator[ServiceBusBus]:
    async with open_servicebus_bus(broker) as opened:
        yield opened


@pytest.fixture
def sent() -> Envelope:
    """An envelope that no other test has sent."""
    stream = f"run/{uuid4().hex}"
    event = NewEvent(
        body=Noted(text="said"),
        source="/zekt/test",
        subject=stream,
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


async def published(bus: ServiceBusBus, sent: Envelope) -> ReceivedMessage:
    """Publish it for the dispatcher, and receive it."""
    await bus.publish("router", [OutgoingMessage(envelope=sent, to="dispatcher")])
    return await take_one(dispatcher(bus))


async def test_a_release_gives_the_message_back_and_counts_no_delivery(bus: ServiceBusBus, sent: Envelope) -> None:
    message = await published(bus, sent)
    for _ in range(EMULATOR_MAX_DELIVERY_COUNT + 2):
        await dispatcher(bus).release([message])
        message = await take_one(dispatcher(bus))
        assert message.message_id == sent.id
    await dispatcher(bus).complete(message)


async def test_a_lock_ends_after_its_duration_and_the_message_comes_again(bus: ServiceBusBus, sent: Envelope) -> None:
    lost = await published(bus, sent)
    again = await take_one(dispatcher(bus))
    assert (again.message_id, again.attempt) == (lost.message_id, lost.attempt)
    with pytest.raises(LockLost):
        await dispatcher(bus).complete(lost)
    await dispatcher(bus).complete(again)


async def test_a_renewed_lock_lasts_longer(bus: ServiceBusBus, sent: Envelope) -> None:
    message = await published(bus, sent)
    for _ in range(2):
        assert await dispatcher(bus).receive(1, timeout_s=0.7 * LOCK_S) == []
        await dispatcher(bus).renew(message)
    await dispatcher(bus).complete(message)


async def test_what_is_settled_cannot_be_settled_again(bus: ServiceBusBus, sent: Envelope) -> None:
    message = await published(bus, sent)
    await dispatcher(bus).complete(message)
    with pytest.raises(LockLost):
        await dispatcher(bus).complete(message)
    with pytest.raises(LockLost):
        await dispatcher(bus).renew(message)


async def test_a_scheduled_retry_is_unsettled_before_it_is_due(bus: ServiceBusBus, sent: Envelope) -> None:
    message = await published(bus, sent)
    assert await dispatcher(bus).unsettled([sent.subject]) == {sent.subject}
    await dispatcher(bus).retry(message, after_s=3)
    assert await dispatcher(bus).unsettled([sent.subject, "unheard of"]) == {sent.subject}
    await dispatcher(bus).complete(await take_one(dispatcher(bus)))
    assert await dispatcher(bus).unsettled([sent.subject]) == set()


async def test_the_backlog_counts_what_waits_and_what_is_locked(bus: ServiceBusBus, sent: Envelope) -> None:
    before = await dispatcher(bus).backlog()
    message = await published(bus, sent)
    assert await dispatcher(bus).backlog() == before + 1
    await dispatcher(bus).complete(message)
    assert await dispatcher(bus).backlog() == before


async def test_a_receiver_that_nobody_asks_any_more_leaves_messages_to_others(
    broker: ServiceBusConnection, bus: ServiceBusBus, sent: Envelope
) -> None:
    async with open_servicebus_bus(broker) as other:
        assert await dispatcher(other).receive(10, timeout_s=0) == []
        assert await dispatcher(bus).receive(10, timeout_s=ABANDONED_AFTER_S) == []
        await dispatcher(bus).complete(await published(bus, sent))
