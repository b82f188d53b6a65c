import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from structlog.testing import capture_logs

from zekt_common.adapters.embedded import Backend
from zekt_common.adapters.sqlite_bus import BUS_TABLES, SqliteBus
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.contracts.topology import Subscription
from zekt_common.envelope import Envelope, Event, NewEvent, seal
from zekt_common.errors import StorageUnusable, UnknownSubscription
from zekt_common.kit.consumer import Complete, Consumer, DeadLetter, Handler, Retry, Settlement
from zekt_common.ports import Bus, OutgoingMessage, ReceivedMessage
from zekt_common.telemetry.tracing import current_span

Start = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

LOCK_S = 0.2
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Noted(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.noted"
    n: int


class Other(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.other"
    text: str


def message(n: int, body: Event | None = None, *, commitid: str = "c", message_id: str = "", attempt: int = 1) -> Any:
    event = NewEvent(
        body=body or Noted(n=n),
        source="test",
        subject=f"run/{n}",
        correlationid=f"run/{n}",
        causationid="test",
        traceparent=TRACEPARENT,
    )
    envelope = seal(event, stream=f"notes/{n}", version=1, commitid=commitid, time=datetime.now(UTC))
    return OutgoingMessage(envelope=envelope, message_id=message_id, attempt=attempt)


def consumer(
    backend: Backend, handler: Handler, *, concurrency: int = 32, max_attempts: int = 10, lock_s: float = 30.0
) -> Consumer:
    terms = Subscription(topic="ingress", name="router", lock_s=lock_s, max_attempts=max_attempts)
    return Consumer(backend.bus, "ingress", "router", {Noted: handler}, concurrency=concurrency, terms=terms)


@pytest.fixture
async def short_locks(tmp_path: Path) -> AsyncIterator[Bus]:
    database = await SqliteDatabase.open(tmp_path / "short.db", [BUS_TABLES])
    yield SqliteBus(database, subscriptions=[Subscription(topic="ingress", name="router", lock_s=LOCK_S)])
    await database.close()


class Inbox:
    """A handler that notes what it was given and answers in turn from `answers`, then `Complete`."""

    def __init__(self, *answers: Settlement | Exception) -> None:
        self.answers = list(answers)
        self.queue: asyncio.Queue[tuple[Noted, Envelope]] = asyncio.Queue()

    async def handle(self, event: Noted, envelope: Envelope) -> Settlement:
        self.queue.put_nowait((event, envelope))
        answer = self.answers.pop(0) if self.answers else Complete()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def next(self, *, within_s: float = 5.0) -> int:
        async with asyncio.timeout(within_s):
            event, _ = await self.queue.get()
        return event.n


async def publish(backend: Backend, *messages: OutgoingMessage) -> None:
    await backend.bus.publish("ingress", messages)


async def settled(consuming: Consumer, outcome: str, count: int = 1) -> None:
    async with asyncio.timeout(5):
        while consuming.outcomes[outcome] < count:  # noqa: ASYNC110 - a counter, not an event
            await asyncio.sleep(0.005)


async def reasons(backend: Backend) -> list[str]:
    return [letter.reason for letter in await backend.bus.dead_letters("ingress", "router")]


async def test_a_handled_message_is_gone(backend: Backend, start: Start) -> None:
    inbox = Inbox()
    consuming = consumer(backend, inbox.handle)
    start(consuming.run())
    await publish(backend, message(1), message(2))
    assert {await inbox.next(), await inbox.next()} == {1, 2}
    await settled(consuming, "completed", 2)
    assert await consuming.backlog() == 0


async def test_a_retry_comes_again_as_the_next_attempt(backend: Backend, start: Start) -> None:
    inbox = Inbox(Retry(0.01), Retry(0.01))
    consuming = consumer(backend, inbox.handle)
    start(consuming.run())
    await publish(backend, message(1))
    assert [await inbox.next() for _ in range(3)] == [1, 1, 1]
    await settled(consuming, "completed")
    assert consuming.outcomes["retried"] == 2


async def test_a_handler_gives_a_message_up_with_its_reason(backend: Backend, start: Start) -> None:
    consuming = consumer(backend, Inbox(DeadLetter("schema unknown")).handle)
    start(consuming.run())
    await publish(backend, message(1))
    await settled(consuming, "dead_lettered")
    assert await reasons(backend) == ["schema unknown"]


async def test_a_handler_that_raises_is_tried_again_and_logged_with_ids_but_no_payload(
    backend: Backend, start: Start
) -> None:
    inbox = Inbox(ValueError("payload 4711"))
    consuming = consumer(backend, inbox.handle)
    with capture_logs() as logs:
        start(consuming.run())
        await publish(backend, message(1))
        await inbox.next()
        await inbox.next()
    (entry,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert (entry["event"], entry["envelope_id"], entry["attempt"]) == ("handler_failed", "notes/1@1", 1)
    assert "4711" not in str(logs)


async def test_a_schema_newer_than_this_program_waits_for_a_newer_program(backend: Backend, start: Start) -> None:
    class Newer(Event, frozen=True, kw_only=True):
        TYPE: ClassVar[str] = Noted.TYPE
        SCHEMA_VERSION: ClassVar[int] = 2
        n: int

    consuming = consumer(backend, Inbox().handle)
    start(consuming.run())
    await publish(backend, message(1, Newer(n=1)))
    await settled(consuming, "retried")
    assert await reasons(backend) == []


async def test_the_last_attempt_that_fails_becomes_a_dead_letter(backend: Backend, start: Start) -> None:
    consuming = consumer(backend, Inbox(ValueError(), ValueError()).handle, max_attempts=2)
    start(consuming.run())
    await publish(backend, message(1))
    await settled(consuming, "dead_lettered")
    assert await reasons(backend) == ["handler failed 2 times: ValueError"]


async def test_asking_for_retries_ends_with_a_dead_letter_too(backend: Backend, start: Start) -> None:
    consuming = consumer(backend, Inbox(Retry(0), Retry(0), Retry(0)).handle, max_attempts=3)
    start(consuming.run())
    await publish(backend, message(1))
    await settled(consuming, "dead_lettered")
    assert await reasons(backend) == ["asked for a retry 3 times"]


async def test_an_unusable_store_uses_up_no_attempt(backend: Backend, start: Start) -> None:
    inbox = Inbox(StorageUnusable("disk full"))
    consuming = consumer(backend, inbox.handle, max_attempts=1)
    start(consuming.run())
    await publish(backend, message(1))
    await inbox.next()
    await inbox.next()
    await settled(consuming, "completed")
    assert await reasons(backend) == []


async def test_data_of_the_wrong_shape_is_dead_lettered_and_blocks_nobody(backend: Backend, start: Start) -> None:
    class Misshapen(Event, frozen=True, kw_only=True):
        TYPE: ClassVar[str] = Noted.TYPE
        n: str

    inbox = Inbox()
    consuming = consumer(backend, inbox.handle)
    start(consuming.run())
    await publish(backend, message(1, Misshapen(n="secret")), message(2))
    assert await inbox.next() == 2
    await settled(consuming, "dead_lettered")
    assert await reasons(backend) == ["data is no dev.zekt.test.noted of schema version 1"]


async def test_a_body_that_is_no_envelope_is_dead_lettered_and_blocks_nobody(
    backend: Backend, start: Start, tmp_path: Path
) -> None:
    await publish(backend, message(1), message(2))
    with contextlib.closing(sqlite3.connect(tmp_path / "bus.db", isolation_level=None)) as connection:
        connection.execute("UPDATE messages SET body = '{\"id\": 7}' WHERE message_id = 'notes/1@1'")
    inbox = Inbox()
    consuming = consumer(backend, inbox.handle)
    start(consuming.run())
    assert await inbox.next() == 2
    await settled(consuming, "dead_lettered")
    assert await reasons(backend) == ["not an envelope"]


async def test_a_type_nobody_asked_for_is_completed_and_told_once(backend: Backend, start: Start) -> None:
    consuming = consumer(backend, Inbox().handle)
    with capture_logs() as logs:
        start(consuming.run())
        await publish(backend, message(1, Other(text="x")), message(2, Other(text="y")))
        await settled(consuming, "completed", 2)
    assert [entry["type"] for entry in logs if entry["event"] == "unknown_message_type_ignored"] == [Other.TYPE]
    assert await consuming.backlog() == 0


async def test_a_repeat_reaches_the_handler_which_knows_it_by_its_id(backend: Backend, start: Start) -> None:
    inbox = Inbox()
    start(consumer(backend, inbox.handle).run())
    await publish(backend, message(1), message(1, message_id="copy"))
    assert [await inbox.next(), await inbox.next()] == [1, 1]


async def test_a_known_id_under_another_commit_raises_an_alarm(backend: Backend, start: Start) -> None:
    inbox = Inbox()
    consuming = consumer(backend, inbox.handle, concurrency=1)
    with capture_logs() as logs:
        start(consuming.run())
        await publish(backend, message(1), message(1, commitid="forged", message_id="copy"))
        await settled(consuming, "dead_lettered")
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["event_tampered"]
    assert await reasons(backend) == ["EventTampered: notes/1@1 is known under another commit id"]
    assert inbox.queue.qsize() == 1


async def test_a_slow_handler_keeps_its_lock(short_locks: Bus, start: Start) -> None:
    rival = short_locks.subscribe("ingress", "router")
    stolen: list[ReceivedMessage] = []

    async def slow(_: Noted, __: Envelope) -> Settlement:
        stolen.extend(await rival.receive(1, timeout_s=4 * LOCK_S))
        return Complete()

    terms = Subscription(topic="ingress", name="router", lock_s=LOCK_S)
    consuming = Consumer(short_locks, "ingress", "router", {Noted: slow}, terms=terms)
    start(consuming.run())
    await short_locks.publish("ingress", [message(1)])
    await settled(consuming, "completed")
    assert stolen == []


async def test_a_lost_lock_is_a_warning_and_the_message_comes_again(short_locks: Bus, start: Start) -> None:
    rival = short_locks.subscribe("ingress", "router")
    inbox = Inbox()

    async def overslept(event: Noted, envelope: Envelope) -> Settlement:
        if inbox.queue.empty():
            stolen = await rival.receive(1, timeout_s=5)
            await rival.release(stolen)
        return await inbox.handle(event, envelope)

    consuming = Consumer(short_locks, "ingress", "router", {Noted: overslept})  # renews as for the usual 30 s
    with capture_logs() as logs:
        start(consuming.run())
        await short_locks.publish("ingress", [message(1)])
        await settled(consuming, "lost")
        await settled(consuming, "completed")
    assert "message_lock_lost" in [entry["event"] for entry in logs]
    assert inbox.queue.qsize() >= 2  # the expired lock may go round once more before the rival gets it


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


async def test_poison_does_not_hold_up_what_comes_after_it(backend: Backend, start: Start) -> None:
    done: list[int] = []

    async def half_bad(event: Noted, _: Envelope) -> Settlement:
        if event.n % 2:
            raise ValueError(event.n)
        done.append(event.n)
        return Complete()

    consuming = consumer(backend, half_bad, concurrency=4)
    start(consuming.run())
    await publish(backend, *(message(n) for n in range(60)))
    await settled(consuming, "completed", 30)
    assert sorted(done) == list(range(0, 60, 2))


async def test_caught_up_waits_for_the_handlers_of_what_was_waiting(backend: Backend, start: Start) -> None:
    gate = asyncio.Event()
    begun = asyncio.Event()

    async def gated(_: Noted, __: Envelope) -> Settlement:
        begun.set()
        await gate.wait()
        return Complete()

    await publish(backend, *(message(n) for n in range(3)))
    consuming = consumer(backend, gated)
    start(consuming.run())
    await begun.wait()
    assert not consuming.caught_up.is_set()
    gate.set()
    async with asyncio.timeout(5):
        await consuming.caught_up.wait()
    assert consuming.outcomes["completed"] == 3


async def test_what_a_dead_process_holds_must_be_handled_before_we_have_caught_up(
    short_locks: Bus, start: Start
) -> None:
    await short_locks.publish("ingress", [message(1)])
    assert await short_locks.subscribe("ingress", "router").receive(1, timeout_s=0)
    terms = Subscription(topic="ingress", name="router", lock_s=LOCK_S)
    inbox = Inbox()
    consuming = Consumer(short_locks, "ingress", "router", {Noted: inbox.handle}, terms=terms)
    start(consuming.run())
    async with asyncio.timeout(5):
        await consuming.caught_up.wait()
    assert inbox.queue.qsize() == 1


async def test_a_message_that_waits_for_its_retry_does_not_keep_us_from_catching_up_for_ever(
    short_locks: Bus, start: Start
) -> None:
    terms = Subscription(topic="ingress", name="router", lock_s=LOCK_S)
    await short_locks.publish("ingress", [message(1)])
    consuming = Consumer(short_locks, "ingress", "router", {Noted: Inbox(Retry(3600)).handle}, terms=terms)
    start(consuming.run())
    async with asyncio.timeout(5):
        await consuming.caught_up.wait()
    assert consuming.outcomes["retried"] == 1


async def test_an_idle_consumer_has_caught_up_at_once(backend: Backend, start: Start) -> None:
    consuming = consumer(backend, Inbox().handle)
    start(consuming.run())
    async with asyncio.timeout(0.4):
        await consuming.caught_up.wait()


async def test_the_handler_runs_in_a_span_of_the_messages_trace_and_passes_it_on(
    backend: Backend, start: Start
) -> None:
    traces: asyncio.Queue[tuple[str, str | None]] = asyncio.Queue()

    async def traced(_: Noted, envelope: Envelope) -> Settlement:
        span = current_span()
        assert span is not None
        traces.put_nowait((span.traceparent, envelope.traceparent))
        return Complete()

    start(consumer(backend, traced).run())
    await publish(backend, message(1))
    inside, passed_on = await traces.get()
    assert inside == passed_on
    assert inside.split("-")[1] == TRACEPARENT.split("-")[1]
    assert inside != TRACEPARENT


async def test_a_drained_consumer_finishes_what_it_handles_and_takes_no_more(backend: Backend, start: Start) -> None:
    gate, begun = asyncio.Event(), asyncio.Event()

    async def gated(_: Noted, __: Envelope) -> Settlement:
        begun.set()
        await gate.wait()
        return Complete()

    consuming = consumer(backend, gated)
    running = start(consuming.run())
    await publish(backend, message(1))
    await begun.wait()
    draining = asyncio.create_task(consuming.drain())
    gate.set()
    await draining
    await running
    await publish(backend, message(2))
    assert consuming.outcomes["completed"] == 1
    assert await consuming.backlog() == 1


async def test_a_drain_gives_back_what_does_not_finish_in_time(backend: Backend, start: Start) -> None:
    begun = asyncio.Event()

    async def never(_: Noted, __: Envelope) -> Settlement:
        begun.set()
        await asyncio.Event().wait()
        return Complete()

    consuming = consumer(backend, never)
    start(consuming.run())
    await publish(backend, message(1))
    await begun.wait()
    await consuming.drain(within_s=0.05)
    (again,) = await backend.bus.subscribe("ingress", "router").receive(5, timeout_s=0)
    assert (again.message_id, again.attempt) == ("notes/1@1", 1)


async def test_a_cancelled_consumer_gives_its_messages_back(backend: Backend, start: Start) -> None:
    begun = asyncio.Event()

    async def never(_: Noted, __: Envelope) -> Settlement:
        begun.set()
        await asyncio.Event().wait()
        return Complete()

    running = start(consumer(backend, never).run())
    await publish(backend, message(1))
    await begun.wait()
    running.cancel()
    await asyncio.wait([running])
    assert len(await backend.bus.subscribe("ingress", "router").receive(5, timeout_s=0)) == 1


async def test_only_subscriptions_of_the_topology_can_be_consumed(backend: Backend) -> None:
    with pytest.raises(UnknownSubscription):
        Consumer(backend.bus, "ingress", "nobody", {Noted: Inbox().handle})


async def test_age_tells_how_old_the_newest_message_was(backend: Backend, start: Start) -> None:
    inbox = Inbox()
    at = datetime.now(UTC) + timedelta(seconds=90)
    consuming = Consumer(backend.bus, "ingress", "router", {Noted: inbox.handle}, clock=lambda: at)
    start(consuming.run())
    await publish(backend, message(1))
    await inbox.next()
    assert 80 < consuming.age_s <= 90
