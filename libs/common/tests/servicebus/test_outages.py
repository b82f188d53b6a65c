import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from libs.common.tests.patience import PATIENCE_S
from libs.common.tests.receiving import take_just
from libs.common.tests.servicebus.standin import connection_to
from structlog.testing import capture_logs

from zekt_common.adapters import servicebus_handler
from zekt_common.adapters.servicebus_bus import ServiceBusBus, open_servicebus_bus
from zekt_common.adapters.servicebus_connection import ServiceBusConnection
from zekt_common.contracts.topology import Subscription
from zekt_common.errors import BackendRefused, BackendUnavailable, LockLost, SettingsError, UnknownSubscription
from zekt_common.ports import OutgoingMessage
from zekt_sandbox.servicebus import ServiceBusSandbox

Make = Callable[..., OutgoingMessage]


async def test_an_outage_is_raised_to_who_publishes_and_waited_out_by_who_receives(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make
) -> None:
    receiver = bus.subscribe("router", "dispatcher")
    assert await receiver.receive(1, timeout_s=0) == []
    sandbox.begin_outage()
    with pytest.raises(BackendUnavailable, match=r"cannot be reached .*ZEKT_SERVICEBUS_CONNECTION"):
        await bus.publish("router", [message("run/1")])
    waiting = asyncio.create_task(receiver.receive(10, timeout_s=60))
    with pytest.raises(BackendUnavailable):
        await receiver.backlog()
    assert bus.trouble is not None
    await sandbox.end_outage()
    await bus.publish("router", [message("run/1")])
    async with asyncio.timeout(PATIENCE_S):
        (received,) = await waiting
    await receiver.complete(received)
    assert bus.trouble is None


async def test_a_receiver_does_not_spin_while_the_broker_is_away(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus
) -> None:
    receiver = bus.subscribe("router", "dispatcher")
    await receiver.receive(1, timeout_s=0)
    sandbox.begin_outage()
    loop = asyncio.get_running_loop()
    with capture_logs() as logs:
        began = loop.time()
        assert await receiver.receive(1, timeout_s=1) == []
        assert loop.time() - began >= 1
    assert [log["event"] for log in logs] == ["servicebus_unavailable"]
    await sandbox.end_outage()


@pytest.mark.parametrize("fault", ["drop_connections", "detach_links"])
async def test_a_receiver_whose_link_the_broker_dropped_goes_on_over_a_new_one(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make, fault: str
) -> None:
    receiver = bus.subscribe("router", "dispatcher")
    await bus.publish("router", [message(f"run/{n}") for n in range(4)])
    held = await take_just(receiver, 3)
    getattr(sandbox, fault)()
    completed, released, buried = held
    settling = receiver.complete(completed), receiver.release([released]), receiver.dead_letter(buried, "broken")
    outcomes = await asyncio.gather(*settling, return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, LockLost) for outcome in outcomes)  # settled, the answer lost
    async with asyncio.timeout(PATIENCE_S):
        received = [await receiver.receive(1, timeout_s=20) for _ in range(2)]
    assert [each.message_id for (each,) in received] == ["run/1@1", "run/3@1"]
    assert len(await bus.dead_letters("router", "dispatcher")) == 1


@pytest.mark.parametrize("fault", ["drop_connections", "detach_links"])
async def test_a_thousand_messages_held_when_their_link_broke_are_settled_over_the_next(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make, fault: str
) -> None:
    receiver = bus.subscribe("router", "dispatcher")
    await bus.publish("router", [message(f"run/{n}") for n in range(1000)])
    held = await take_just(receiver, 1000)
    getattr(sandbox, fault)()
    outcomes = await asyncio.gather(*(receiver.complete(each) for each in held), return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, LockLost) for outcome in outcomes)  # settled, the answer lost
    counts = sandbox.counts("router", "dispatcher")
    assert (counts.active, counts.locked) == (0, 0)


async def test_closing_gives_back_what_nobody_took(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make
) -> None:
    async with open_servicebus_bus(connection_to(sandbox)) as closing:
        waiting = asyncio.create_task(closing.subscribe("router", "dispatcher").receive(10, timeout_s=60))
        await asyncio.sleep(0)
        await bus.publish("router", [message("run/1")])
        waiting.cancel()
    counts = sandbox.counts("router", "dispatcher")
    assert (counts.active, counts.locked) == (1, 0)
    assert sandbox.connection_count == 1


async def test_closing_during_an_outage_ends_by_itself_and_is_not_cut_short(
    sandbox: ServiceBusSandbox, message: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicebus_handler, "CLOSE_S", PATIENCE_S)
    with capture_logs() as logs:
        await close_during_an_outage(sandbox, message)
    assert "servicebus_close_failed" not in [log["event"] for log in logs]


async def close_during_an_outage(sandbox: ServiceBusSandbox, message: Make) -> None:
    async with open_servicebus_bus(connection_to(sandbox), publishes_to=["router"]) as bus:
        waiting = asyncio.create_task(bus.subscribe("router", "dispatcher").receive(10, timeout_s=60))
        await bus.publish("router", [message("run/1")])
        (received,) = await waiting
        assert received.message_id == "run/1@1"
        sandbox.begin_outage()


async def test_a_cancellation_that_the_sdk_swallows_is_raised_all_the_same(sandbox: ServiceBusSandbox) -> None:
    began, connection = asyncio.Event(), connection_to(sandbox)

    async def swallowing() -> None:
        with connection.translating(), suppress(asyncio.CancelledError):
            began.set()
            await asyncio.Event().wait()

    async def failing() -> None:
        raise BackendUnavailable("it is away")

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_for_ever(swallowing))
            await began.wait()
            group.create_task(failing())

    with pytest.raises(ExceptionGroup):
        await asyncio.wait_for(together(), PATIENCE_S)


async def _for_ever(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await work()


async def test_a_wrong_key_is_named_at_the_start_and_kept_out_of_the_error(sandbox: ServiceBusSandbox) -> None:
    wrong = sandbox.connection_string.replace(sandbox.key, "bm90IHRoZSBrZXk=")
    with pytest.raises(BackendRefused, match=r"refuses the credential .*ZEKT_SERVICEBUS_CONNECTION") as refused:
        async with open_servicebus_bus(ServiceBusConnection(connection_string=wrong), publishes_to=["router"]):
            pass
    assert "bm90IHRoZSBrZXk" not in str(refused.value)
    assert "bm90IHRoZSBrZXk" not in repr(ServiceBusConnection(connection_string=wrong))


async def test_a_missing_topic_asks_for_provisioning(sandbox: ServiceBusSandbox) -> None:
    bus = ServiceBusBus(connection_to(sandbox), topics=["unheard-of"], subscriptions=[])
    with pytest.raises(BackendUnavailable, match="zekt provision"):
        await bus.open(["unheard-of"])
    await bus.close()


async def test_a_missing_subscription_is_named_by_what_waits_for_its_messages(sandbox: ServiceBusSandbox) -> None:
    missing = Subscription(topic="router", name="unheard-of")
    bus = ServiceBusBus(connection_to(sandbox), subscriptions=[missing])
    assert await bus.subscribe("router", "unheard-of").receive(1, timeout_s=0.5) == []
    assert "zekt provision" in (bus.trouble or "")
    await bus.close()


@pytest.mark.parametrize("text", ["nonsense", "Endpoint=sb://127.0.0.1/", "SharedAccessKey=c2VjcmV0"])
async def test_a_malformed_connection_string_is_a_settings_error_that_does_not_quote_it(text: str) -> None:
    with pytest.raises(SettingsError, match="ZEKT_SERVICEBUS_CONNECTION") as refused:
        ServiceBusBus(ServiceBusConnection(connection_string=text))
    assert text not in str(refused.value)


async def test_a_namespace_needs_a_credential() -> None:
    with pytest.raises(SettingsError, match="ZEKT_SERVICEBUS_NAMESPACE"):
        ServiceBusBus(ServiceBusConnection(namespace="zekt.servicebus.windows.net"))


async def test_a_subscription_outside_the_topology_is_unknown(bus: ServiceBusBus) -> None:
    with pytest.raises(UnknownSubscription):
        bus.subscribe("router", "unheard-of")
