import asyncio
from collections.abc import Callable

import pytest
from azure.servicebus.aio import ServiceBusClient
from libs.common.tests.receiving import take_just
from libs.common.tests.servicebus.standin import connection_to, connections, until

from zekt_common.adapters.servicebus_bus import ServiceBusBus, open_servicebus_bus
from zekt_common.adapters.servicebus_sender import GIVES_WAY_EVERY
from zekt_common.envelope import encode
from zekt_common.errors import BackendUnavailable, MessageTooLarge
from zekt_common.kit.relay import PAGE
from zekt_common.ports import OutgoingMessage
from zekt_sandbox.servicebus import ServiceBusSandbox

Make = Callable[..., OutgoingMessage]


async def test_a_message_travels_as_its_envelope_with_properties_that_are_strings(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make
) -> None:
    sent = message("run/1")
    await bus.publish("router", [sent])
    async with (
        ServiceBusClient.from_connection_string(sandbox.connection_string) as client,
        client.get_subscription_receiver("router", "dispatcher") as receiver,
    ):
        (found,) = await receiver.peek_messages()
    assert found.message_id == "run/1@1"
    assert b"".join(found.body) == encode(sent.envelope)
    assert found.application_properties == {b"for": b"dispatcher", b"attempt": b"1", b"subject": b"run/1"}


async def test_what_exceeds_one_batch_goes_out_in_several_in_order(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make
) -> None:
    published = [message(f"run/{n}", "x" * 60_000) for n in range(11)]
    await bus.publish("router", published)
    assert sandbox.counts("router", "dispatcher").active == 11
    received = await take_just(bus.subscribe("router", "dispatcher"), 11)
    assert [each.message_id for each in received] == [each.envelope.id for each in published]


async def test_others_get_their_turns_while_a_page_is_encoded(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make
) -> None:
    page = [message(f"run/{n}") for n in range(PAGE)]
    publishing = asyncio.create_task(bus.publish("router", page))
    turns = 0
    while not sandbox.counts("router", "dispatcher").active:
        await asyncio.sleep(0)
        turns += 1
    await publishing
    assert turns >= 2 * (PAGE // GIVES_WAY_EVERY - 1), "once as messages are made, once as they are packed"


async def test_a_batch_is_never_a_few_bytes_over_what_the_broker_takes(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make
) -> None:
    most = 256 * 1024 - 2 * len(encode(message("run/1").envelope))
    for number, left in enumerate(range(-600, 800, 7)):  # some of them just fill a batch, by the SDK's own count
        first, second = message(f"first/{number}", "x" * (most - 2500 - left)), message(f"second/{number}", "y" * 2000)
        await bus.publish("router", [first, second])
    assert sandbox.counts("router", "dispatcher").active == 400


async def test_a_batch_that_the_broker_finds_too_large_is_said_to_be_so_and_its_halves_are_taken(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zekt_common.adapters.servicebus_sender.UNCOUNTED_BYTES", 0)
    most = 256 * 1024 - 2 * len(encode(message("run/1").envelope))
    refused = 0
    for number, left in enumerate(range(-600, 800, 7)):
        pair = [message(f"first/{number}", "x" * (most - 2500 - left)), message(f"second/{number}", "y" * 2000)]
        try:
            await bus.publish("router", pair)
        except MessageTooLarge:
            refused += 1
            for half in pair:
                await bus.publish("router", [half])
    assert refused
    assert sandbox.counts("router", "dispatcher").active == 400


async def test_a_message_that_is_too_large_only_with_its_properties_is_refused_before_any_is_sent(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make
) -> None:
    room = 256 * 1024 - len(encode(message("run/2").envelope))
    with pytest.raises(MessageTooLarge, match="run/2@1"):
        await bus.publish("router", [message("run/1"), message("run/2", "x" * room)])
    assert sandbox.counts("router", "dispatcher").active == 0


async def test_senders_wait_for_each_other(sandbox: ServiceBusSandbox, message: Make) -> None:
    async with open_servicebus_bus(connection_to(sandbox)) as unopened:
        await asyncio.gather(*(unopened.publish("router", [message(f"run/{n}")]) for n in range(20)))
        assert sandbox.counts("router", "dispatcher").active == 20
        assert sandbox.connection_count == 1


async def test_an_answer_that_is_lost_leaves_the_message_once(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make
) -> None:
    sandbox.faults.lose_answers(1)
    await bus.publish("router", [message("run/1"), message("run/2")])
    assert sandbox.counts("router", "dispatcher").active == 2


async def test_a_repeat_after_an_error_leaves_each_message_once(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make
) -> None:
    published = [message(f"run/{n}", "x" * 60_000) for n in range(11)]
    sandbox.faults.lose_answers(2)
    with pytest.raises(BackendUnavailable):
        await bus.publish("router", published)
    await bus.publish("router", published)
    assert sandbox.counts("router", "dispatcher").active == 11


async def test_an_overloaded_broker_is_named_as_such(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make
) -> None:
    sandbox.faults.refuse_sends(None)
    with pytest.raises(BackendUnavailable, match="overloaded") as refused:
        await bus.publish("router", [message("run/1", "a secret text")])
    assert "a secret text" not in str(refused.value)
    assert bus.trouble == str(refused.value)
    sandbox.faults.clear()
    await bus.publish("router", [message("run/1")])
    assert bus.trouble is None


@pytest.mark.parametrize("fault", ["drop_connections", "detach_links"])
async def test_a_link_that_the_broker_dropped_is_replaced_by_the_next_publication(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make, fault: str
) -> None:
    getattr(sandbox, fault)()
    await bus.publish("router", [message("run/1")])
    assert sandbox.counts("router", "dispatcher").active == 1


async def test_an_idle_sender_is_replaced_before_the_broker_drops_it(sandbox: ServiceBusSandbox, message: Make) -> None:
    opened = ServiceBusBus(connection_to(sandbox), fresh_s=0.2)
    await opened.open(["router"])
    first = connections(sandbox)
    await until(lambda: not first & connections(sandbox) and sandbox.connection_count == 1)
    await opened.publish("router", [message("run/1")])
    await opened.close()
    assert sandbox.connection_count == 0
