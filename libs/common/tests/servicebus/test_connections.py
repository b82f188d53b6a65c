"""How many connections are open, and what happens where there is none to spare."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

import pytest
from libs.common.tests.patience import PATIENCE_S
from libs.common.tests.receiving import take_just
from libs.common.tests.servicebus.standin import connection_to, until

from zekt_common.adapters import servicebus_link, servicebus_sender
from zekt_common.adapters.servicebus_bus import ServiceBusBus, open_servicebus_bus
from zekt_common.adapters.servicebus_connection import ServiceBusConnection
from zekt_common.contracts.topology import SUBSCRIPTIONS, Subscription
from zekt_common.errors import BackendUnavailable
from zekt_common.ports import OutgoingMessage
from zekt_sandbox.servicebus import ServiceBusSandbox

Make = Callable[..., OutgoingMessage]

LINGERS_S = 4.0
"""Long enough for a busy machine to see a sender that nobody uses any more still connected."""
ITS_OWN = [each for each in SUBSCRIPTIONS if (each.topic, each.name) == ("router", "dispatcher")]


@pytest.fixture
async def consuming(sandbox: ServiceBusSandbox) -> AsyncIterator[ServiceBusBus]:
    """A process that consumes one subscription, in a namespace with one connection to spare."""
    async with open_servicebus_bus(connection_to(sandbox)) as opened:
        await opened.open([], ITS_OWN)
        sandbox.faults.limit_connections(2)
        yield opened


async def test_counting_the_backlog_takes_no_connection_more(
    sandbox: ServiceBusSandbox, consuming: ServiceBusBus
) -> None:
    receiver = consuming.subscribe("router", "dispatcher")
    assert await receiver.receive(1, timeout_s=0) == []
    assert await receiver.backlog() == 0
    assert sandbox.connection_count == 1


async def test_a_consumed_topics_sender_is_connected_for_as_long_as_it_is_needed(
    sandbox: ServiceBusSandbox,
    consuming: ServiceBusBus,
    bus: ServiceBusBus,
    message: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(servicebus_sender, "LINGER_S", LINGERS_S)
    sandbox.faults.limit_connections(3)
    await bus.publish("router", [message("run/1")])
    receiver = consuming.subscribe("router", "dispatcher")
    (received,) = await take_just(receiver, 1)
    await receiver.retry(received, after_s=60)
    assert await receiver.unsettled(["run/1"]) == {"run/1"}
    assert sandbox.connection_count == 3
    await until(lambda: sandbox.connection_count == 2)
    assert await receiver.unsettled(["run/1"]) == {"run/1"}
    assert sandbox.refused_connections == 0


async def test_a_retry_waits_for_a_connection_that_another_is_about_to_give_up(
    sandbox: ServiceBusSandbox, consuming: ServiceBusBus, message: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicebus_sender, "LINGER_S", LINGERS_S)
    monkeypatch.setattr(servicebus_sender, "OPENS_WITHIN_S", PATIENCE_S)
    async with open_servicebus_bus(connection_to(sandbox)) as other:
        await other.publish("router", [message("run/1")])
        receiver = consuming.subscribe("router", "dispatcher")
        (received,) = await take_just(receiver, 1)
        await other.publish("router", [message("run/2")])
        await receiver.retry(received, after_s=0)
        assert sandbox.refused_connections > 0
        ids = [each.message_id for _ in range(2) for each in await take_just(receiver, 1)]
    assert sorted(ids) == ["run/1@1~dispatcher~r2", "run/2@1"]


async def test_without_a_connection_to_spare_a_retry_fails_and_leaves_the_message_locked(
    sandbox: ServiceBusSandbox, consuming: ServiceBusBus, bus: ServiceBusBus, message: Make
) -> None:
    await bus.publish("router", [message("run/1")])
    receiver = consuming.subscribe("router", "dispatcher")
    (received,) = await take_just(receiver, 1)
    with pytest.raises(BackendUnavailable, match="ZEKT_SERVICEBUS_CONNECTION"):
        await receiver.retry(received, after_s=0)
    assert consuming.trouble is not None
    sandbox.faults.limit_connections(3)
    await asyncio.gather(receiver.complete(received), consuming.try_again())
    assert consuming.trouble is None


@pytest.mark.parametrize("ends", [(["router"], []), ([], ITS_OWN)], ids=["sender", "receiver"])
async def test_an_opening_that_is_given_up_leaves_no_connection_behind(
    ends: tuple[Sequence[str], Sequence[Subscription]],
) -> None:
    taken, ended = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.set()
        with suppress(ConnectionError):
            while await reader.read(65_536):
                pass
        ended.set()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server, asyncio.timeout(10):
        where = f"Endpoint=sb://127.0.0.1:{server.sockets[0].getsockname()[1]};UseDevelopmentEmulator=true"
        text = f"{where};SharedAccessKeyName=zekt;SharedAccessKey=c2VjcmV0"
        bus = ServiceBusBus(ServiceBusConnection(connection_string=text))
        opening = asyncio.create_task(bus.open(*ends))
        await taken.wait()
        opening.cancel()
        await asyncio.wait([opening])
        closing = asyncio.create_task(bus.close())
        await ended.wait()
        await closing


@pytest.mark.parametrize("opens", ["sender", "receiver"])
async def test_a_process_that_starts_waits_for_a_connection_that_another_is_about_to_give_up(
    sandbox: ServiceBusSandbox, message: Make, monkeypatch: pytest.MonkeyPatch, opens: str
) -> None:
    monkeypatch.setattr(servicebus_sender, "LINGER_S", LINGERS_S)
    for starting in (servicebus_sender, servicebus_link):
        monkeypatch.setattr(starting, "STARTS_WITHIN_S", PATIENCE_S)
    topics, subscriptions = (["router"], []) if opens == "sender" else ([], ITS_OWN)
    async with open_servicebus_bus(connection_to(sandbox)) as other, open_servicebus_bus(connection_to(sandbox)) as own:
        await other.publish("router", [message("run/1")])
        sandbox.faults.limit_connections(1)
        await own.open(topics, subscriptions)
        assert sandbox.refused_connections > 0
        assert sandbox.connection_count == 1
