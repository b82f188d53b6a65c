import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessage as Message
from azure.servicebus.aio import ServiceBusReceiver, ServiceBusSender
from azure.servicebus.amqp import AmqpMessageProperties
from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusError,
)
from libs.sandbox.tests.servicebus.conftest import Bus, take

from zekt_sandbox.servicebus.rules import CorrelationFilter
from zekt_sandbox.servicebus.topic import TopicProperties

WINDOW_S = 60.0

pytestmark = pytest.mark.asyncio(loop_scope="session")


def long(value: int) -> dict[str, Any]:
    """A 64-bit integer: the SDK sends bare ones with 32."""
    return {"TYPE": "LONG", "VALUE": value}


def held(bus: Bus, subscription: str) -> int:
    return bus.sandbox.counts(bus.name, subscription).active


async def bodies(bus: Bus, subscription: str, count: int) -> list[str]:
    async with bus.receiving(subscription) as receiver:
        return [str(message) for message in await take(receiver, count)]


async def test_each_subscription_gets_what_one_of_its_rules_matches(bus: Bus) -> None:
    topic = bus.topic
    topic.subscribe("red", rules={"red": CorrelationFilter(application={"color": "red"})})
    both = {"red": CorrelationFilter(application={"color": "red"}), "x": CorrelationFilter({"Label": "x"})}
    topic.subscribe("red-or-x", rules=both)
    topic.subscribe("neither", rules={"both": CorrelationFilter({"Label": "y"}, {"color": "red"})})
    topic.subscribe("none", rules={})
    await bus.send(
        Message("1", application_properties={"color": "red"}, subject="x"),
        Message("2", application_properties={"color": "blue"}, subject="x"),
        Message("3", application_properties={"color": "blue"}, subject="y"),
    )
    taken = {name: held(bus, name) for name in bus.topic.subscriptions}
    assert taken == {"s": 3, "red": 1, "red-or-x": 2, "neither": 0, "none": 0}
    assert await bodies(bus, "red-or-x", 2) == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("MessageId", {"message_id": "v"}),
        ("To", {"to": "v"}),
        ("Label", {"subject": "v"}),
        ("ReplyTo", {"reply_to": "v"}),
        ("CorrelationId", {"correlation_id": "v"}),
        ("ContentType", {"content_type": "v"}),
    ],
)
async def test_rules_compare_system_properties(bus: Bus, name: str, sent: dict[str, Any]) -> None:
    bus.topic.subscribe("one", rules={"r": CorrelationFilter({name: "v"})})
    await bus.send(Message("yes", **sent), Message("no"))
    assert held(bus, "one") == 1


async def test_bodies_and_properties_of_every_type_arrive_unchanged(bus: Bus) -> None:
    body = bytes(range(256)) * 900
    properties: dict[str | bytes, Any] = {
        "i": 1,
        "f": 1.5,
        "b": True,
        "u": uuid.UUID(int=5),
        "n": None,
        "big": long(2**40),
    }
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    properties["d"] = moment
    await bus.send(Message(body, application_properties=properties, message_id="m", subject="s"))
    [message] = await take(bus.receiver)
    assert b"".join(message.body) == body
    assert (message.message_id, message.subject, message.sequence_number) == ("m", "s", 1)
    assert message.application_properties == {
        b"i": 1,
        b"f": 1.5,
        b"b": True,
        b"u": uuid.UUID(int=5),
        b"n": None,
        b"big": 2**40,
        b"d": int(moment.timestamp() * 1000),
    }


async def test_a_repeated_id_is_dropped_within_the_window_also_inside_a_batch(bus: Bus) -> None:
    bus.configure(TopicProperties(duplicate_window_s=WINDOW_S))
    topic = bus.topic
    await bus.send(Message("a", message_id="1"), Message("b", message_id="1"), Message("c", message_id="2"))
    await bus.send(Message("d", message_id="2"), Message("e", message_id="3"))
    assert (topic.received, topic.duplicates) == (5, 2)
    bus.sandbox.clock.advance(WINDOW_S + 1)
    await bus.send(Message("f", message_id="1"))
    assert [str(message) for message in await take(bus.receiver, 4)] == ["a", "c", "e", "f"]
    assert bus.counts == {"locked": 4}


async def test_without_duplicate_detection_repeats_are_kept(bus: Bus) -> None:
    await bus.send(Message("a", message_id="1"), Message("b", message_id="1"))
    assert bus.counts == {"active": 2}


async def test_a_batch_is_filled_to_256_kb(bus: Bus) -> None:
    batch = await bus.sender.create_message_batch()
    assert batch.max_size_in_bytes == 256 * 1024
    for _ in range(5):
        batch.add_message(Message(b"x" * 50_000))
    with pytest.raises(MessageSizeExceededError):
        batch.add_message(Message(b"x" * 50_000))
    await bus.sender.send_messages(batch)
    assert bus.counts == {"active": 5}


async def test_a_message_over_256_kb_is_refused_and_the_sender_goes_on(bus: Bus) -> None:
    with pytest.raises(MessageSizeExceededError):
        await bus.sender.send_messages(Message(b"x" * 256 * 1024))
    await bus.sender.send_messages(Message(b"x" * 250_000))
    assert bus.counts == {"active": 1}


async def test_a_message_id_over_128_characters_refuses_the_whole_batch(bus: Bus) -> None:
    too_long = Message("b")
    too_long.raw_amqp_message.properties = AmqpMessageProperties(message_id="x" * 129)
    with pytest.raises(ServiceBusError, match="cannot exceed 128 characters"):
        await bus.send(Message("a"), too_long)
    assert bus.counts == {}


async def refusal(handler: ServiceBusSender | ServiceBusReceiver) -> ServiceBusError:
    with pytest.raises(ServiceBusError) as refused:
        async with handler:
            pass
    return refused.value


async def test_what_does_not_exist_is_not_found(bus: Bus) -> None:
    refusals = await asyncio.gather(
        refusal(bus.client.get_topic_sender("nowhere")),
        refusal(bus.client.get_subscription_receiver(bus.name, "nobody")),
    )
    assert {type(refused) for refused in refusals} == {MessagingEntityNotFoundError}
    assert "'nowhere' could not be found" in str(refusals[0])


async def test_names_are_not_told_apart_by_case(bus: Bus) -> None:
    await bus.send(Message("x"))
    async with bus.client.get_subscription_receiver(bus.name.upper(), "S") as receiver:
        assert [str(message) for message in await take(receiver)] == ["x"]


async def test_a_topic_is_not_received_from_nor_a_subscription_sent_to_and_sessions_are_refused(bus: Bus) -> None:
    refusals = await asyncio.gather(
        refusal(bus.client.get_queue_receiver(bus.name)),
        refusal(bus.client.get_queue_sender(f"{bus.name}/Subscriptions/s")),
        refusal(bus.client.get_subscription_receiver(bus.name, "s", session_id="a")),
    )
    for refused, reason in zip(refusals, ["received from", "sent to", "does not require sessions"], strict=True):
        assert reason in str(refused)


async def test_the_bus_can_be_emptied_with_what_it_remembers(bus: Bus) -> None:
    bus.configure(TopicProperties(duplicate_window_s=WINDOW_S))
    await bus.send(Message("a", message_id="1"))
    bus.sandbox.purge()
    assert bus.counts == {}
    await bus.send(Message("b", message_id="1"))
    assert bus.counts == {"active": 1}
