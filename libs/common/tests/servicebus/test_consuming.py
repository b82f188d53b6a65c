import asyncio
from collections import Counter
from collections.abc import Callable

from libs.common.tests.servicebus.conftest import Noted
from libs.common.tests.servicebus.standin import until

from zekt_common.adapters.servicebus_bus import ServiceBusBus
from zekt_common.contracts.topology import Subscription
from zekt_common.envelope import Envelope
from zekt_common.kit.consumer import Complete, Consumer, Retry, Settlement
from zekt_common.ports import OutgoingMessage
from zekt_sandbox.servicebus import ServiceBusSandbox

Make = Callable[..., OutgoingMessage]

TERMS = Subscription(topic="router", name="dispatcher", max_attempts=3)


async def test_poison_ends_in_the_dead_letters_after_its_attempts_and_blocks_nobody(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make
) -> None:
    handled: Counter[str] = Counter()

    async def handle(event: Noted, envelope: Envelope) -> Settlement:
        handled[envelope.stream] += 1
        return Retry(0) if event.text == "poison" else Complete()

    await bus.publish("router", [message(f"run/{n}", "poison" if n == 7 else "") for n in range(100)])
    consumer = Consumer(bus, "router", "dispatcher", {Noted: handle}, terms=TERMS)
    running = asyncio.create_task(consumer.run())
    await until(lambda: consumer.outcomes["dead_lettered"] == 1 and consumer.outcomes["completed"] == 99)
    await consumer.drain()
    await running
    assert handled == {f"run/{n}": 3 if n == 7 else 1 for n in range(100)}
    (dead,) = await bus.dead_letters("router", "dispatcher")
    assert (dead.message_id, dead.attempt, dead.reason) == ("run/7@1~dispatcher~r3", 3, "asked for a retry 3 times")
    assert sandbox.counts("router", "dispatcher").active == 0


async def test_a_consumer_has_not_caught_up_while_a_message_waits_for_its_retry(
    bus: ServiceBusBus, message: Make
) -> None:
    """As after two changes of one document have raced: the retry may carry the newer one."""
    answers: list[Settlement] = [Retry(2), Complete()]

    async def handle(_: Noted, __: Envelope) -> Settlement:
        return answers.pop(0)

    await bus.publish("router", [message("run/1")])
    consumer = Consumer(bus, "router", "dispatcher", {Noted: handle}, terms=TERMS)
    running = asyncio.create_task(consumer.run())
    async with asyncio.timeout(20):
        await consumer.caught_up.wait()
    assert answers == []
    await consumer.drain()
    await running


async def test_a_consumer_that_starts_has_not_caught_up_before_the_retries_of_the_one_before_it(
    bus: ServiceBusBus, message: Make
) -> None:
    handled: list[str] = []

    async def handle(_: Noted, envelope: Envelope) -> Settlement:
        handled.append(envelope.stream)
        return Complete()

    await bus.publish("router", [message("run/1")])
    before = bus.subscribe("router", "dispatcher")
    (failed,) = await before.receive(1, timeout_s=10)
    await before.retry(failed, after_s=2)
    consumer = Consumer(bus, "router", "dispatcher", {Noted: handle}, terms=TERMS)
    running = asyncio.create_task(consumer.run())
    async with asyncio.timeout(20):
        await consumer.caught_up.wait()
    assert handled == ["run/1"]
    await consumer.drain()
    await running


async def test_an_outage_in_the_middle_delays_messages_and_loses_none(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make
) -> None:
    handled: set[str] = set()

    async def handle(_: Noted, envelope: Envelope) -> Settlement:
        handled.add(envelope.stream)
        return Complete()

    await bus.publish("router", [message(f"run/{n}") for n in range(300)])
    consumer = Consumer(bus, "router", "dispatcher", {Noted: handle}, terms=TERMS)
    running = asyncio.create_task(consumer.run())
    await until(lambda: len(handled) > 50)
    sandbox.begin_outage(1)
    await until(lambda: len(handled) == 300)
    await until(lambda: sandbox.counts("router", "dispatcher").active == 0)
    await consumer.drain()
    await running
    assert await bus.dead_letters("router", "dispatcher") == []
