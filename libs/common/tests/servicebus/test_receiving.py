import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from libs.common.tests.patience import PATIENCE_S
from libs.common.tests.receiving import take_just
from libs.common.tests.servicebus.standin import connection_to, until

from zekt_common.adapters.servicebus_bus import ServiceBusBus, open_servicebus_bus
from zekt_common.adapters.servicebus_topology import EMULATOR_MAX_DELIVERY_COUNT
from zekt_common.errors import LockLost
from zekt_common.ports import OutgoingMessage, Receiver
from zekt_sandbox.servicebus import ServiceBusSandbox
from zekt_sandbox.servicebus.receivers import Receivers

Make = Callable[..., OutgoingMessage]


def is_looked_for(sandbox: ServiceBusSandbox) -> bool:
    """Whether a message would be sent to some receiver at once."""
    sessions = [session for connection in sandbox._broker.connections for session in connection.sessions.values()]  # noqa: SLF001 - the stand-in tells nobody
    links = [link for session in sessions for link in session.links.values() if isinstance(link.node, Receivers)]
    return any(link.can_send for link in links)


@pytest.fixture
def receiver(bus: ServiceBusBus) -> Receiver:
    return bus.subscribe("router", "dispatcher")


@pytest.fixture
async def elsewhere(sandbox: ServiceBusSandbox) -> AsyncIterator[Receiver]:
    """Another process's receiver."""
    async with open_servicebus_bus(connection_to(sandbox)) as other:
        yield other.subscribe("router", "dispatcher")


async def test_a_release_counts_no_delivery_however_often(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, receiver: Receiver, message: Make
) -> None:
    await bus.publish("router", [message("run/1")])
    for _ in range(EMULATOR_MAX_DELIVERY_COUNT + 2):
        await receiver.release(await take_just(receiver, 1))
    assert sandbox.counts("router", "dispatcher").active == 1
    assert await bus.dead_letters("router", "dispatcher") == []


async def test_settlements_asked_for_at_once_are_done_while_a_receive_waits(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, receiver: Receiver, message: Make
) -> None:
    await bus.publish("router", [message(f"run/{n}") for n in range(40)])
    messages = await take_just(receiver, 40)
    waiting = asyncio.create_task(receiver.receive(40, timeout_s=30))
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(receiver.complete(each) for each in messages))
    assert not waiting.done()
    assert sandbox.counts("router", "dispatcher").locked == 0
    waiting.cancel()


async def test_a_receiver_that_nobody_asks_any_more_leaves_messages_to_others(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, receiver: Receiver, elsewhere: Receiver, message: Make
) -> None:
    assert await receiver.receive(10, timeout_s=0) == []
    assert await elsewhere.receive(10, timeout_s=0) == []
    await until(lambda: not is_looked_for(sandbox))
    await bus.publish("router", [message("run/1")])
    (received,) = await take_just(elsewhere, 1)
    (entry,) = sandbox.namespace.subscription("router", "dispatcher").queue.entries
    assert entry.delivery_count == 0, "it had been locked for somebody who did not look"
    await elsewhere.complete(received)


async def test_a_retry_of_a_message_that_is_somebody_elses_leaves_no_copy(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, receiver: Receiver, elsewhere: Receiver, message: Make
) -> None:
    await bus.publish("router", [message("run/1")])
    (lost,) = await take_just(receiver, 1)
    sandbox.clock.advance(0)
    await receiver.release([lost])
    (taken,) = await take_just(elsewhere, 1)
    with pytest.raises(LockLost):
        await receiver.retry(lost, after_s=60)
    await elsewhere.complete(taken)
    assert await elsewhere.unsettled(["run/1"]) == set()


async def test_scheduled_retries_count_as_unsettled_wherever_they_are_asked_for(
    bus: ServiceBusBus, receiver: Receiver, elsewhere: Receiver, message: Make
) -> None:
    await bus.publish("router", [message("run/1"), message("run/2")])
    first, second = await take_just(receiver, 2)
    await receiver.retry(first, after_s=60)
    await receiver.complete(second)
    answers = await asyncio.gather(*(elsewhere.unsettled([subject]) for subject in ("run/1", "run/2", "run/3")))
    assert answers == [{"run/1"}, set(), set()]
    assert await bus.subscribe("router", "ingress").unsettled(["run/1"]) == set()


async def test_more_messages_than_a_page_are_looked_through(
    bus: ServiceBusBus, receiver: Receiver, message: Make
) -> None:
    await bus.publish("router", [message(f"run/{n}") for n in range(600)])
    assert await receiver.unsettled(["run/0", "run/599", "run/600"]) == {"run/0", "run/599"}
    assert await receiver.backlog() == 600
    await bus.publish("router", [message(f"run/{n}") for n in range(600, 1100)])
    assert await receiver.backlog() == 1000


async def test_a_foreign_message_without_our_properties_is_received_as_it_is(
    sandbox: ServiceBusSandbox, receiver: Receiver
) -> None:
    foreign = ServiceBusMessage(b"\xff no envelope", message_id="foreign", application_properties={"for": "dispatcher"})
    async with (
        ServiceBusClient.from_connection_string(sandbox.connection_string) as client,
        client.get_topic_sender("router") as sender,
    ):
        await sender.send_messages(foreign)
    (received,) = await take_just(receiver, 1)
    assert (received.message_id, received.attempt, received.body) == ("foreign", 1, b"\xff no envelope")
    await receiver.retry(received, after_s=0)
    (again,) = await take_just(receiver, 1)
    assert (again.message_id, again.attempt, again.body) == ("foreign~dispatcher~r2", 2, b"\xff no envelope")
    await receiver.complete(again)


async def test_a_dead_letter_of_the_brokers_own_has_its_reason(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, receiver: Receiver, message: Make
) -> None:
    await bus.publish("router", [message("run/1")])
    async with (
        ServiceBusClient.from_connection_string(sandbox.connection_string) as client,
        client.get_subscription_receiver("router", "dispatcher") as abandoning,
    ):
        for _ in range(EMULATOR_MAX_DELIVERY_COUNT):
            (taken,) = await abandoning.receive_messages(1, max_wait_time=10)
            await abandoning.abandon_message(taken)
    (dead,) = await bus.dead_letters("router", "dispatcher")
    assert (dead.message_id, dead.attempt, dead.reason) == ("run/1@1", 1, "MaxDeliveryCountExceeded")
    assert await receiver.receive(1, timeout_s=0) == []


async def test_a_very_long_reason_is_cut(bus: ServiceBusBus, receiver: Receiver, message: Make) -> None:
    await bus.publish("router", [message("run/1")])
    (received,) = await take_just(receiver, 1)
    await receiver.dead_letter(received, "é" * 5000)
    (dead,) = await bus.dead_letters("router", "dispatcher")
    assert dead.reason == "é" * 1024
