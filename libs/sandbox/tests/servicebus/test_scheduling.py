import pytest
from azure.servicebus import ServiceBusMessage as Message
from azure.servicebus.exceptions import MessageNotFoundError
from libs.sandbox.tests.servicebus.conftest import Bus, nothing, take

from zekt_sandbox.servicebus.queue import QueueProperties
from zekt_sandbox.servicebus.rules import CorrelationFilter
from zekt_sandbox.servicebus.topic import TopicProperties

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_scheduled_messages_come_when_they_are_due_in_the_order_they_are_due(bus: Bus) -> None:
    await bus.sender.send_messages(Message("second", scheduled_enqueue_time_utc=bus.later(60)))
    await bus.sender.schedule_messages([Message("first")], bus.later(30))
    assert bus.counts == {"scheduled": 2}
    assert await nothing(bus.receiver)
    bus.sandbox.clock.advance(61)
    assert [str(message) for message in await take(bus.receiver, 2)] == ["first", "second"]


async def test_a_message_scheduled_for_the_near_future_comes_by_itself(bus: Bus) -> None:
    due = bus.later(0.5)
    await bus.send(Message("x", scheduled_enqueue_time_utc=due))
    await take(bus.receiver)
    due_ms = int(due.timestamp() * 1000)  # AMQP's times have no finer unit
    assert bus.sandbox.clock.now() * 1000 >= due_ms


async def test_a_time_in_the_past_is_now(bus: Bus) -> None:
    await bus.send(Message("x", scheduled_enqueue_time_utc=bus.later(-60)))
    assert bus.counts == {"active": 1}


async def test_a_scheduled_message_can_be_cancelled_until_it_is_due(bus: Bus) -> None:
    first, second = await bus.sender.schedule_messages([Message("a"), Message("b")], bus.later(30))
    await bus.sender.cancel_scheduled_messages(first)
    with pytest.raises(MessageNotFoundError):
        await bus.sender.cancel_scheduled_messages([second, first])
    assert bus.counts == {"scheduled": 1}
    bus.sandbox.clock.advance(31)
    with pytest.raises(MessageNotFoundError):
        await bus.sender.cancel_scheduled_messages(second)


async def test_duplicate_detection_covers_scheduled_messages(bus: Bus) -> None:
    bus.configure(TopicProperties(duplicate_window_s=600))
    await bus.send(Message("a", message_id="1", scheduled_enqueue_time_utc=bus.later(60)))
    await bus.send(Message("b", message_id="1"))
    assert bus.counts == {"scheduled": 1}


async def test_a_scheduled_message_counts_where_it_is_going_to_arrive(bus: Bus) -> None:
    other = bus.topic.subscribe("o", rules={"r": CorrelationFilter({"Label": "o"})})
    await bus.send(Message("a", scheduled_enqueue_time_utc=bus.later(60)))
    assert bus.sandbox.counts(bus.name, other.name).scheduled == 0
    assert bus.sandbox.counts(bus.name, "s").scheduled == 1


async def test_time_to_live_starts_when_the_message_is_due(bus: Bus) -> None:
    bus.configure(subscription=QueueProperties(ttl_s=50))
    await bus.send(Message("a", scheduled_enqueue_time_utc=bus.later(60)))
    bus.sandbox.clock.advance(61)
    assert [str(message) for message in await take(bus.receiver)] == ["a"]


async def test_no_subscription_shows_what_is_scheduled(bus: Bus) -> None:
    await bus.send(Message("a", scheduled_enqueue_time_utc=bus.later(60)))
    assert await bus.receiver.peek_messages(10) == []
