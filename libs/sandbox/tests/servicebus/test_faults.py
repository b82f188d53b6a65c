import time

import pytest
from azure.servicebus import ServiceBusMessage as Message
from azure.servicebus.exceptions import ServiceBusError, ServiceBusServerBusyError
from libs.sandbox.tests.servicebus.conftest import DEADLINE_S, Bus, take, until

from zekt_sandbox.servicebus import InvalidControlError
from zekt_sandbox.servicebus.clock import Clock
from zekt_sandbox.servicebus.faults import Faults
from zekt_sandbox.servicebus.topic import TopicProperties

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # the SDK's, of connections that it lost
]


async def test_after_dropped_connections_messages_are_settled_and_sent_over_new_ones(fragile: Bus) -> None:
    await fragile.send(Message("x"))
    [message] = await take(fragile.receiver)
    fragile.sandbox.drop_connections()
    await until(lambda: fragile.sandbox.connection_count == 0)
    await fragile.receiver.complete_message(message)
    assert fragile.counts == {}
    await fragile.send(Message("y"))
    assert [str(message) for message in await take(fragile.receiver)] == ["y"]


async def test_detached_links_are_attached_again(fragile: Bus) -> None:
    await fragile.send(Message("x"))
    fragile.sandbox.detach_links()
    await fragile.send(Message("y"))
    taken = await fragile.receiver.receive_messages(2, max_wait_time=DEADLINE_S)
    assert [str(message) for message in taken] == ["x", "y"]


async def test_in_an_outage_nothing_connects_until_it_is_ended(fragile: Bus) -> None:
    port = fragile.sandbox.port
    fragile.sandbox.begin_outage()
    with pytest.raises(ServiceBusError):
        await fragile.send(Message("lost"))
    assert fragile.sandbox.connection_count == 0
    await fragile.sandbox.end_outage()
    assert fragile.sandbox.port == port
    await fragile.send(Message("x"))
    assert [str(message) for message in await take(fragile.receiver)] == ["x"]


async def test_an_outage_of_so_many_seconds_ends_by_itself(fragile: Bus) -> None:
    fragile.sandbox.begin_outage(0.5)
    began = time.monotonic()
    while True:
        assert time.monotonic() < began + DEADLINE_S
        try:
            await fragile.send(Message("x"))
        except ServiceBusError:
            continue
        break
    assert time.monotonic() - began >= 0.5
    assert fragile.counts == {"active": 1}


async def test_a_lost_answer_stores_the_message_and_makes_the_sdk_send_it_again(fragile: Bus) -> None:
    fragile.sandbox.faults.lose_answers()
    await fragile.send(Message("x", message_id="1"))
    assert fragile.topic.received == 2
    assert fragile.counts == {"active": 2}


async def test_duplicate_detection_drops_what_is_sent_again_after_a_lost_answer(fragile: Bus) -> None:
    fragile.configure(TopicProperties(duplicate_window_s=60))
    fragile.sandbox.faults.lose_answers()
    await fragile.send(Message("x", message_id="1"), Message("y", message_id="2"))
    assert (fragile.topic.received, fragile.topic.duplicates) == (4, 2)
    assert fragile.counts == {"active": 2}


async def test_the_answer_to_scheduling_is_lost_as_well(fragile: Bus) -> None:
    fragile.sandbox.faults.lose_answers()
    await fragile.sender.schedule_messages(Message("x"), fragile.later(60))
    assert fragile.counts == {"scheduled": 2}


async def test_a_busy_server_refuses_so_many_sends(fragile: Bus) -> None:
    fragile.sandbox.faults.refuse_sends(1)
    await fragile.send(Message("x"))
    assert fragile.topic.received == 1


async def test_a_busy_server_refuses_every_send_until_it_is_cleared(fragile: Bus) -> None:
    fragile.sandbox.faults.refuse_sends(None)
    with pytest.raises(ServiceBusServerBusyError):
        await fragile.send(Message("x"))
    with pytest.raises(ServiceBusServerBusyError):
        await fragile.sender.schedule_messages(Message("x"), fragile.later(60))
    fragile.sandbox.faults.clear()
    await fragile.send(Message("x"))
    assert fragile.topic.received == 1


async def test_a_slow_server_acts_later_and_in_order(fragile: Bus) -> None:
    fragile.sandbox.faults.slow_down(0.2)
    began = time.monotonic()
    await fragile.send(*(Message(f"{n}" * 50_000) for n in range(4)))
    assert time.monotonic() - began >= 0.2
    fragile.sandbox.faults.clear()
    assert [str(message)[0] for message in await take(fragile.receiver, 4)] == ["0", "1", "2", "3"]


async def test_faults_that_make_no_sense_are_refused() -> None:
    faults = Faults()
    with pytest.raises(InvalidControlError):
        faults.lose_answers(-1)
    with pytest.raises(InvalidControlError):
        faults.refuse_sends(-1)
    with pytest.raises(InvalidControlError):
        faults.slow_down(-1)


async def test_the_clock_is_only_advanced() -> None:
    with pytest.raises(ValueError, match="only advanced"):
        Clock().advance(-1)


async def test_a_connection_over_the_limit_is_refused_until_another_is_closed(fragile: Bus) -> None:
    fragile.sandbox.faults.limit_connections(fragile.sandbox.connection_count)
    refused_before = fragile.sandbox.refused_connections
    with pytest.raises(ServiceBusError, match="ConnectionsQuotaExceeded"):
        async with fragile.receiving():
            pytest.fail("it was let in")
    assert fragile.sandbox.refused_connections > refused_before
    await fragile.send(Message("x"))
    await fragile.sender.close()
    async with fragile.receiving() as receiver:
        assert [str(message) for message in await take(receiver)] == ["x"]
