import asyncio
import time
from datetime import timedelta

import pytest
from azure.servicebus import ServiceBusMessage as Message
from azure.servicebus import ServiceBusReceiveMode
from azure.servicebus.aio import AutoLockRenewer
from azure.servicebus.exceptions import MessageLockLostError, MessageNotFoundError
from libs.sandbox.tests.servicebus.conftest import NOTHING_S, Bus, nothing, take, until

from zekt_sandbox.servicebus.queue import QueueProperties

LOCK_S = 30.0

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_settled_messages_are_gone(bus: Bus) -> None:
    await bus.send(*(Message(str(n)) for n in range(20)))
    taken = await take(bus.receiver, 20)
    assert [str(message) for message in taken] == [str(n) for n in range(20)]
    assert bus.counts == {"locked": 20}
    await asyncio.gather(*(bus.receiver.complete_message(message) for message in taken))
    assert bus.counts == {}


async def test_an_abandoned_message_comes_again_until_it_is_a_dead_letter(bus: Bus) -> None:
    bus.configure(subscription=QueueProperties(max_delivery_count=3))
    await bus.send(Message("x", message_id="m1", application_properties={"k": "v"}))
    for deliveries in range(3):
        [message] = await take(bus.receiver)
        assert message.delivery_count == deliveries
        await bus.receiver.abandon_message(message)
    assert await nothing(bus.receiver)
    async with bus.dead_letters() as letters:
        [letter] = await take(letters)
        assert letter.dead_letter_reason == "MaxDeliveryCountExceeded"
        assert letter.message_id == "m1"
        assert letter.application_properties is not None
        assert letter.application_properties[b"k"] == b"v"
        await letters.complete_message(letter)
    assert bus.counts == {}


async def test_a_dead_letter_says_why_and_where_from(bus: Bus) -> None:
    await bus.send(Message("x"))
    [message] = await take(bus.receiver)
    await bus.receiver.dead_letter_message(message, reason="bad", error_description="very")
    async with bus.dead_letters() as letters:
        [letter] = await take(letters)
        assert (letter.dead_letter_reason, letter.dead_letter_error_description) == ("bad", "very")
        assert letter.dead_letter_source == f"{bus.name}/Subscriptions/s"
        for _ in range(12):
            await letters.abandon_message(letter)
            [letter] = await take(letters)
    assert bus.counts == {"dead_lettered": 1}


async def test_a_deferred_message_is_received_by_its_number_only(bus: Bus) -> None:
    await bus.send(Message("x"), Message("y"))
    first, second = await take(bus.receiver, 2)
    await bus.receiver.defer_message(first)
    await bus.receiver.complete_message(second)
    assert await nothing(bus.receiver)
    assert bus.counts == {"deferred": 1}
    assert first.sequence_number is not None
    [deferred] = await bus.receiver.receive_deferred_messages(first.sequence_number)
    assert str(deferred) == "x"
    with pytest.raises(MessageNotFoundError):
        await bus.receiver.receive_deferred_messages(first.sequence_number)
    await bus.receiver.renew_message_lock(deferred)
    await bus.receiver.abandon_message(deferred)
    assert bus.counts == {"deferred": 1}
    [deferred] = await bus.receiver.receive_deferred_messages(first.sequence_number)
    await bus.receiver.complete_message(deferred)
    assert bus.counts == {}


async def test_an_expired_lock_passes_the_message_on_and_cannot_settle_it(bus: Bus) -> None:
    bus.configure(subscription=QueueProperties(lock_s=LOCK_S))
    await bus.send(Message("x"))
    async with bus.receiving() as other:
        [lost] = await take(bus.receiver)
        bus.sandbox.clock.advance(LOCK_S)
        [message] = await take(other)
        assert message.delivery_count == 1
        with pytest.raises(MessageLockLostError):
            await bus.receiver.complete_message(lost)
        with pytest.raises(MessageLockLostError):
            await bus.receiver.renew_message_lock(lost)
        await other.complete_message(message)
    assert bus.counts == {}


async def test_a_lock_expires_by_itself(bus: Bus) -> None:
    bus.configure(subscription=QueueProperties(lock_s=0.5))
    await bus.send(Message("x"))
    await take(bus.receiver)
    locked_at = time.monotonic()
    await take(bus.receiver)
    assert time.monotonic() - locked_at > 0.3


async def test_a_renewed_lock_is_held_for_as_long_again(bus: Bus) -> None:
    bus.configure(subscription=QueueProperties(lock_s=LOCK_S))
    await bus.send(Message("x"), Message("y"))
    renewed, left = await take(bus.receiver, 2)
    until_before = renewed.locked_until_utc
    bus.sandbox.clock.advance(LOCK_S * 0.6)
    renewed_until = await bus.receiver.renew_message_lock(renewed)
    assert until_before is not None
    assert renewed_until - until_before > timedelta(seconds=LOCK_S * 0.5)
    bus.sandbox.clock.advance(LOCK_S * 0.6)
    await bus.receiver.complete_message(renewed)
    with pytest.raises(MessageLockLostError):
        await bus.receiver.complete_message(left)


async def test_the_sdk_renews_locks_by_itself(fragile: Bus) -> None:
    fragile.configure(subscription=QueueProperties(lock_s=4.0))
    await fragile.send(Message("x"))
    [message] = await take(fragile.receiver)
    first = message.locked_until_utc
    assert first is not None
    async with AutoLockRenewer() as renewer:
        renewer.register(fragile.receiver, message, max_lock_renewal_duration=30)
        await until(lambda: message.locked_until_utc is not None and message.locked_until_utc > first)
        await fragile.receiver.complete_message(message)
    assert fragile.counts == {}


async def test_a_released_message_comes_again_at_once_and_uncounted(bus: Bus) -> None:
    await bus.send(*(Message(str(n)) for n in range(50)))
    async with bus.receiving(prefetch_count=30) as receiver:
        for message in await take(receiver, 5):
            await receiver.complete_message(message)
    await until(lambda: bus.counts == {"active": 45})  # the SDK releases what it prefetched as it closes
    assert {message.delivery_count for message in await take(bus.receiver, 45)} == {0}


async def test_messages_of_a_lost_receiver_stay_locked(bus: Bus) -> None:
    bus.configure(subscription=QueueProperties(lock_s=LOCK_S))
    await bus.send(Message("x"))
    async with bus.receiving() as receiver:
        await take(receiver)
        await receiver.close()
    assert bus.counts == {"locked": 1}
    bus.sandbox.clock.advance(LOCK_S)
    [message] = await take(bus.receiver)
    assert message.delivery_count == 1


async def test_receiving_and_deleting_needs_no_settling(bus: Bus) -> None:
    await bus.send(*(Message(str(n)) for n in range(20)))
    async with bus.receiving(receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE, max_wait_time=NOTHING_S) as all_of:
        assert [str(message) async for message in all_of] == [str(n) for n in range(20)]
    assert bus.counts == {}


async def test_peeking_shows_all_and_locks_nothing(bus: Bus) -> None:
    await bus.send(Message("locked"), Message("active"))
    await take(bus.receiver)
    assert [str(message) for message in await bus.receiver.peek_messages(10, sequence_number=1)] == ["locked", "active"]
    assert [str(message) for message in await bus.receiver.peek_messages(10, sequence_number=2)] == ["active"]
    assert bus.counts == {"active": 1, "locked": 1}


async def test_an_expired_message_becomes_a_dead_letter_where_that_is_asked_for(bus: Bus) -> None:
    bus.configure(subscription=QueueProperties(dead_letters_expired=True))
    await bus.send(Message("a", time_to_live=timedelta(seconds=60)), Message("b"))
    bus.sandbox.clock.advance(61)
    assert [str(message) for message in await take(bus.receiver)] == ["b"]
    async with bus.dead_letters() as letters:
        [letter] = await take(letters)
        assert letter.dead_letter_reason == "TTLExpiredException"


async def test_a_message_that_expires_while_locked_is_still_completed_but_not_given_back(bus: Bus) -> None:
    bus.configure(subscription=QueueProperties(lock_s=120, ttl_s=60))
    await bus.send(Message("a"), Message("b"))
    first, second = await take(bus.receiver, 2)
    bus.sandbox.clock.advance(61)
    assert bus.counts == {"locked": 2}
    await bus.receiver.complete_message(first)
    await bus.receiver.abandon_message(second)
    assert await nothing(bus.receiver)
    assert bus.counts == {}


async def test_receivers_share_a_subscription_in_turn(bus: Bus) -> None:
    async with bus.receiving() as other:
        both = asyncio.gather(take(bus.receiver, 10), take(other, 10))
        await bus.send(*(Message(str(n)) for n in range(20)))
        taken = [str(message) for messages in await both for message in messages]
    assert sorted(taken, key=int) == [str(n) for n in range(20)]
