"""Locks, while handlers run, and how many run at once."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from libs.common.tests.flow.consuming import (
    LOCK_S,
    LONG_LOCK_S,
    Inbox,
    Noted,
    Start,
    bus_on,
    consumer,
    message,
    publish,
    settled,
)
from libs.common.tests.patience import PATIENCE_S
from structlog.testing import capture_logs

from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.adapters.sqlite_bus import SqliteBus, SqliteReceiver
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.clock import to_micros, utc_now
from zekt_common.contracts.topology import Subscription
from zekt_common.envelope import Envelope
from zekt_common.kit.consumer import Complete, Consumer, Retry, Settlement
from zekt_common.ports import ReceivedMessage, Receiver

LONG = Subscription(topic="ingress", name="router", lock_s=LONG_LOCK_S)


class ManualClock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def test_a_slow_handler_keeps_its_lock(bus_file: SqliteDatabase, start: Start) -> None:
    clock = ManualClock()
    bus = bus_on(bus_file, lock_s=LOCK_S, clock=clock)
    rival = bus.subscribe("ingress", "router")
    stolen: list[ReceivedMessage] = []

    async def slow(_: Noted, __: Envelope) -> Settlement:
        for _turn in range(4):
            clock.now += timedelta(seconds=0.9 * LOCK_S)
            await renewed(bus_file, clock)
            stolen.extend(await rival.receive(1, timeout_s=0))
        return Complete()

    terms = Subscription(topic="ingress", name="router", lock_s=LOCK_S)
    consuming = Consumer(bus, "ingress", "router", {Noted: slow}, terms=terms)
    start(consuming.run())
    await bus.publish("ingress", [message(1)])
    await settled(consuming, "completed")
    assert stolen == []


async def renewed(file: SqliteDatabase, clock: ManualClock) -> None:
    """Wait until the only message is locked for as long as a lock taken now would last."""
    end = [(to_micros(clock() + timedelta(seconds=LOCK_S)),)]
    async with asyncio.timeout(PATIENCE_S):
        while file.query("SELECT locked_until FROM messages") != end:  # noqa: ASYNC110 - the keeper tells nobody
            await asyncio.sleep(0.005)


async def test_a_lost_lock_is_a_warning_and_the_message_comes_again(tmp_path: Path, start: Start) -> None:
    inbox, clock = Inbox(), ManualClock()
    async with open_backend(tmp_path, "ingress", clock=clock) as backend:
        rival = backend.bus.subscribe("ingress", "router")

        async def overslept(event: Noted, envelope: Envelope) -> Settlement:
            if inbox.queue.empty():
                clock.now += timedelta(seconds=30)
                await rival.release(await rival.receive(1, timeout_s=0))
            return await inbox.handle(event, envelope)

        consuming = consumer(backend, overslept, concurrency=1)  # so that nobody but the rival can take the lock
        with capture_logs() as logs:
            loop = start(consuming.run())
            await publish(backend, message(1))
            await settled(consuming, "completed")
        loop.cancel()
        await asyncio.wait([loop])
    assert "message_lock_lost" in [entry["event"] for entry in logs]
    assert consuming.outcomes == {"lost": 1, "completed": 1}
    assert inbox.queue.qsize() == 2


async def test_no_more_handlers_run_at_once_than_allowed(backend: Backend, start: Start) -> None:
    running = most = 0

    async def count(_: Noted, __: Envelope) -> Settlement:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return Complete()

    consuming = consumer(backend, count, concurrency=5)
    start(consuming.run())
    await publish(backend, *(message(n) for n in range(100)))
    await settled(consuming, "completed", 100)
    assert most == 5


async def test_what_a_dead_process_holds_must_be_handled_before_we_have_caught_up(
    bus_file: SqliteDatabase, start: Start
) -> None:
    of_the_dead, bus = bus_on(bus_file, lock_s=LOCK_S), bus_on(bus_file, lock_s=LONG_LOCK_S)
    await bus.publish("ingress", [message(1)])
    assert await of_the_dead.subscribe("ingress", "router").receive(1, timeout_s=0)
    terms = Subscription(topic="ingress", name="router", lock_s=LOCK_S)
    inbox = Inbox()
    consuming = Consumer(bus, "ingress", "router", {Noted: inbox.handle}, terms=terms)
    start(consuming.run())
    async with asyncio.timeout(PATIENCE_S):
        await consuming.caught_up.wait()
    assert inbox.queue.qsize() == 1


class LateNews(SqliteReceiver):
    """Tells only after the locks of the dead have expired that there was nothing before they had."""

    async def receive(self, max_messages: int, /, *, timeout_s: float) -> list[ReceivedMessage]:
        messages = await super().receive(max_messages, timeout_s=timeout_s)
        if not messages:
            await asyncio.sleep(2 * LOCK_S)
        return messages


class LateNewsBus(SqliteBus):
    def subscribe(self, topic: str, subscription: str, /) -> Receiver:
        del topic, subscription
        return LateNews(self._database, LONG, utc_now)


async def test_finding_nothing_before_the_locks_of_the_dead_expired_is_no_sign_of_having_caught_up(
    bus_file: SqliteDatabase, start: Start
) -> None:
    bus, inbox = LateNewsBus(bus_file, subscriptions=[LONG]), Inbox()
    await bus.publish("ingress", [message(1)])
    assert await bus_on(bus_file, lock_s=LOCK_S).subscribe("ingress", "router").receive(1, timeout_s=0)
    terms = Subscription(topic="ingress", name="router", lock_s=LOCK_S)
    consuming = Consumer(bus, "ingress", "router", {Noted: inbox.handle}, terms=terms)
    start(consuming.run())
    async with asyncio.timeout(PATIENCE_S):
        await consuming.caught_up.wait()
    assert inbox.queue.qsize() == 1


async def test_a_message_that_waits_for_its_retry_does_not_keep_us_from_catching_up_for_ever(
    bus_file: SqliteDatabase, start: Start
) -> None:
    terms = Subscription(topic="ingress", name="router", lock_s=LOCK_S)
    bus = bus_on(bus_file, lock_s=LONG_LOCK_S)
    await bus.publish("ingress", [message(1)])
    consuming = Consumer(bus, "ingress", "router", {Noted: Inbox(Retry(3600)).handle}, terms=terms)
    start(consuming.run())
    async with asyncio.timeout(PATIENCE_S):
        await consuming.caught_up.wait()
    assert consuming.outcomes["retried"] == 1


async def test_what_is_to_be_retried_before_long_is_waited_for_however_much_others_hold(
    bus_file: SqliteDatabase, start: Start
) -> None:
    bus = bus_on(bus_file, lock_s=LONG_LOCK_S)
    await bus.publish("ingress", [message(0)])
    rival = bus.subscribe("ingress", "router")
    (held,) = await rival.receive(1, timeout_s=0)
    start(_hold(rival, held))
    await bus.publish("ingress", [message(1)])
    inbox = Inbox(*[Retry(LOCK_S * 0.9)] * 5)
    terms = Subscription(topic="ingress", name="router", lock_s=LOCK_S)
    consuming = Consumer(bus, "ingress", "router", {Noted: inbox.handle}, terms=terms)
    start(consuming.run())
    async with asyncio.timeout(PATIENCE_S):
        await consuming.caught_up.wait()
    assert consuming.outcomes == {"retried": 5, "completed": 1}


async def _hold(rival: Receiver, held: ReceivedMessage) -> None:
    while True:
        await asyncio.sleep(LOCK_S / 4)
        await rival.renew(held)


async def test_retries_of_what_is_stored_later_keep_nobody_from_having_caught_up(
    bus_file: SqliteDatabase, start: Start
) -> None:
    bus = bus_on(bus_file, lock_s=LONG_LOCK_S)

    async def again(_: Noted, __: Envelope) -> Settlement:
        return Retry(LOCK_S * 0.9)

    terms = Subscription(topic="ingress", name="router", lock_s=LOCK_S, max_attempts=1000)
    earlier = datetime.now(UTC) - timedelta(seconds=1)
    consuming = Consumer(bus, "ingress", "router", {Noted: again}, terms=terms, clock=lambda: earlier)
    await bus.publish("ingress", [message(1)])
    start(consuming.run())
    async with asyncio.timeout(PATIENCE_S):
        await consuming.caught_up.wait()
