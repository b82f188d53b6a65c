from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient
from libs.common.tests.receiving import take_just
from libs.common.tests.servicebus.standin import connection_to

from zekt_common.adapters.servicebus_bus import ServiceBusBus, open_servicebus_bus
from zekt_common.contracts.topology import SUBSCRIPTIONS
from zekt_common.ports import OutgoingMessage
from zekt_sandbox.servicebus import ServiceBusSandbox

Make = Callable[..., OutgoingMessage]

AT_A_TIME = 20
CONSUMED = [each for each in SUBSCRIPTIONS if each.name == "dispatcher"]


async def bury(sandbox: ServiceBusSandbox, *messages: OutgoingMessage, days_ago: float) -> None:
    """Publish them and give them up, on a machine of that day."""

    def then() -> datetime:
        return datetime.now(UTC) - timedelta(days=days_ago)

    async with open_servicebus_bus(connection_to(sandbox), clock=then) as bus:
        await bus.publish("router", messages)
        receiver = bus.subscribe("router", "dispatcher")
        left = len(messages)
        while left:
            for received in await take_just(receiver, min(left, AT_A_TIME)):  # their locks last for ten seconds
                await receiver.dead_letter(received, "broken")
                left -= 1


def in_the_queue(sandbox: ServiceBusSandbox) -> list[tuple[int, bool]]:
    """Return how often each dead letter was delivered, and whether it is locked."""
    entries = sandbox.namespace.subscription("router", "dispatcher").dead_letters.entries
    return [(entry.delivery_count, entry.lock is not None) for entry in entries]


async def test_dead_letters_are_kept_for_90_days_and_younger_ones_left_alone(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make
) -> None:
    await bury(sandbox, *(message(f"run/{n}") for n in range(300)), days_ago=91)
    await bury(sandbox, message("run/300"), message("run/301"), days_ago=89)
    retention = bus.dead_letter_retention(CONSUMED)
    assert await retention.purge() == 300
    assert await retention.purge() == 0
    left = await bus.dead_letters("router", "dispatcher")
    assert [letter.message_id for letter in left] == ["run/300@1", "run/301@1"]
    assert in_the_queue(sandbox) == [(0, False), (0, False)]


async def test_a_purge_gives_back_the_young_that_come_in_place_of_what_somebody_else_holds(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make
) -> None:
    await bury(sandbox, message("run/1"), days_ago=91)
    await bury(sandbox, message("run/2"), days_ago=1)
    async with (
        ServiceBusClient.from_connection_string(sandbox.connection_string) as client,
        client.get_subscription_receiver("router", "dispatcher", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as other,
    ):
        (held,) = await other.receive_messages(1, max_wait_time=10)
        assert await bus.dead_letter_retention(CONSUMED).purge() == 0
        assert in_the_queue(sandbox) == [(0, True), (0, False)]
        await other.complete_message(held)
    assert [letter.message_id for letter in await bus.dead_letters("router", "dispatcher")] == ["run/2@1"]


@pytest.mark.parametrize("limit", [2, 260])
async def test_no_more_dead_letters_are_listed_than_asked_for(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make, limit: int
) -> None:
    await bury(sandbox, *(message(f"run/{n}") for n in range(270)), days_ago=1)
    listed = await bus.dead_letters("router", "dispatcher", limit=limit)
    assert [letter.message_id for letter in listed] == [f"run/{n}@1" for n in range(limit)]
