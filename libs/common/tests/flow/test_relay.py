import asyncio
import random
import sqlite3
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from structlog.testing import capture_logs

from zekt_common.adapters.embedded import Backend
from zekt_common.envelope import Envelope, Event, NewEvent, decode
from zekt_common.errors import UnknownSubscription
from zekt_common.kit.relay import Relay, Translate
from zekt_common.ports import OutgoingMessage, Receiver

Start = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Noted(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.noted"
    n: int


class Mark(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.mark"
    through: datetime


def noted(n: int) -> NewEvent:
    return NewEvent(body=Noted(n=n), source="test", subject=f"{n}", correlationid=f"{n}", causationid=f"{n}")


def publish_all(envelope: Envelope) -> Sequence[OutgoingMessage]:
    return [OutgoingMessage(envelope=envelope)]


def mark(through: datetime) -> OutgoingMessage:
    micros = round(through.timestamp() * 1_000_000)
    envelope = Envelope(
        specversion="1.0",
        id=f"mark@{micros}",
        source="test",
        type=Mark.TYPE,
        subject="mark",
        time=through,
        datacontenttype="application/json",
        stream="mark",
        version=micros,
        commitid="mark",
        schemaversion=1,
        correlationid="mark",
        causationid="mark",
        data=msgspec.Raw(msgspec.json.encode(Mark(through=through))),
    )
    return OutgoingMessage(envelope=envelope)


def relay(backend: Backend, translate: Translate = publish_all, *, watermarks: bool = False) -> Relay:
    return Relay(
        backend.store,
        backend.bus,
        backend.views,
        backend.leases,
        topic="ingress",
        translate=translate,
        watermark=mark if watermarks else None,
    )


async def store(backend: Backend, numbers: Sequence[int], stream: str = "notes/1") -> list[Envelope]:
    version = len(await backend.store.read(stream))
    return await backend.store.append(stream, [noted(n) for n in numbers], expected_version=version)


def receiver(backend: Backend) -> Receiver:
    return backend.bus.subscribe("ingress", "router")


async def take(backend: Backend, count: int, *, timeout_s: float = 5.0) -> list[tuple[str, Envelope]]:
    """Receive and complete `count` messages, as (message id, envelope)."""
    taken: list[tuple[str, Envelope]] = []
    receiving = receiver(backend)
    async with asyncio.timeout(timeout_s):
        while len(taken) < count:
            messages = await receiving.receive(count - len(taken), timeout_s=1.0)
            await asyncio.gather(*(receiving.complete(message) for message in messages))
            taken += [(message.message_id, decode(message.body)) for message in messages]
    return taken


async def take_rest(backend: Backend) -> list[Envelope]:
    """Receive and complete everything that is there now."""
    taken: list[Envelope] = []
    receiving = receiver(backend)
    while messages := await receiving.receive(500, timeout_s=0):
        await asyncio.gather(*(receiving.complete(message) for message in messages))
        taken += [decode(message.body) for message in messages]
    return taken


async def published(relaying: Relay) -> None:
    async with asyncio.timeout(20):
        while await relaying.lag() > 0:  # noqa: ASYNC110 - the lag is in files, and nothing else tells of it
            await asyncio.sleep(0.01)


def wipe_bus(data_dir: Path) -> None:
    connection = sqlite3.connect(data_dir / "bus.db")
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    for (table,) in tables.fetchall():
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - the schema's own names
    connection.commit()
    connection.close()


async def test_stored_events_are_published_in_feed_order(backend: Backend, start: Start) -> None:
    before = await store(backend, range(3))
    start(relay(backend).run())
    after = await store(backend, range(3, 6))
    taken = await take(backend, 6)
    assert [envelope.id for _, envelope in taken] == [envelope.id for envelope in before + after]
    assert [message_id for message_id, _ in taken] == [envelope.id for envelope in before + after]


async def test_a_new_event_is_published_at_once(backend: Backend, start: Start) -> None:
    start(relay(backend).run())
    delays = []
    for n in range(20):
        await store(backend, [n])
        stored_at = time.perf_counter()
        await take(backend, 1)
        delays.append(time.perf_counter() - stored_at)
    assert sorted(delays)[10] < 0.1


async def test_an_event_that_concerns_nobody_is_passed_over(backend: Backend, start: Start) -> None:
    def odd_only(envelope: Envelope) -> Sequence[OutgoingMessage]:
        return publish_all(envelope) if envelope.version % 2 else []

    start(relay(backend, odd_only).run())
    await store(backend, range(4))
    taken = await take(backend, 2)
    assert [envelope.version for _, envelope in taken] == [1, 3]


async def test_a_restarted_relay_goes_on_where_it_was(backend: Backend, start: Start) -> None:
    first, second = relay(backend), relay(backend)
    await store(backend, range(5))
    running = start(first.run())
    await take(backend, 5)
    running.cancel()
    await asyncio.wait([running])
    start(second.run())
    await store(backend, [5])
    await take(backend, 1)
    assert (first.published, second.published) == (5, 1)


async def test_a_relay_outlives_errors_and_says_so_without_the_payload(backend: Backend, start: Start) -> None:
    failures = iter([True, True, False])

    def fragile(envelope: Envelope) -> Sequence[OutgoingMessage]:
        if next(failures):
            raise ValueError(bytes(envelope.data))
        return publish_all(envelope)

    with capture_logs() as logs:
        start(relay(backend, fragile).run())
        await store(backend, [4711])
        await take(backend, 1)
    errors = [entry for entry in logs if entry["log_level"] == "error"]
    assert [(entry["event"], entry["error"]) for entry in errors] == [("background_loop_failed", "ValueError")] * 2
    assert "4711" not in str(logs)


async def test_after_the_loss_of_the_bus_a_rewind_publishes_everything_again(
    backend: Backend, start: Start, tmp_path: Path
) -> None:
    relaying = relay(backend)
    start(relaying.run())
    stored = await store(backend, range(1200))
    await published(relaying)
    wipe_bus(tmp_path)
    await relaying.rewind(datetime(2000, 1, 1, tzinfo=UTC))
    taken = await take(backend, 1200)
    assert [envelope for _, envelope in taken] == stored


async def test_a_rewind_gets_past_duplicate_detection_and_only_from_its_moment_on(
    backend: Backend, start: Start
) -> None:
    stopped = start(relay(backend).run())
    await store(backend, range(3))
    later = await store(backend, range(3, 6))
    first = dict(await take(backend, 6))
    stopped.cancel()
    await asyncio.wait([stopped])
    relaying = relay(backend)
    await relaying.rewind(later[0].time)
    start(relaying.run())
    copies = await take(backend, 3)
    fresh = await store(backend, [6])
    assert [envelope for _, envelope in copies] == later
    assert not first.keys() & dict(copies).keys()
    assert await take(backend, 1) == [(fresh[0].id, fresh[0])]


async def test_a_rewind_again_inside_the_window_gets_through_again(backend: Backend, start: Start) -> None:
    relaying = relay(backend)
    start(relaying.run())
    stored = await store(backend, range(3))
    await take(backend, 3)
    for _ in range(2):
        await relaying.rewind(stored[0].time)
        assert [envelope for _, envelope in await take(backend, 3)] == stored


async def test_a_running_relay_notices_a_rewind_by_another_process_within_a_second(
    backend: Backend, start: Start
) -> None:
    start(relay(backend).run())
    stored = await store(backend, range(3))
    await take(backend, 3)
    await relay(backend).rewind(stored[0].time)
    assert [envelope for _, envelope in await take(backend, 3, timeout_s=1.2)] == stored


async def test_a_rewind_never_skips_what_was_not_published_yet(backend: Backend, start: Start) -> None:
    stored = await store(backend, range(3))
    relaying = relay(backend)
    await relaying.rewind(datetime.now(UTC) + timedelta(hours=1))
    start(relaying.run())
    assert [envelope for _, envelope in await take(backend, 3)] == stored


async def test_a_rewind_for_one_subscription_reaches_that_one_alone(backend: Backend, start: Start) -> None:
    relaying = relay(backend)
    start(relaying.run())
    stored = [*await store(backend, range(3)), *await store(backend, [3])]
    await published(relaying)
    await asyncio.gather(take(backend, 4), take_of_identity(backend, 4))
    await relaying.rewind(stored[0].time, to="identity")
    assert await take_of_identity(backend, 4) == [each.id for each in stored]
    fresh = await store(backend, [4])
    assert await take(backend, 1) == [(fresh[0].id, fresh[0])]


async def test_a_rewind_for_one_subscription_loses_nothing_for_the_others(backend: Backend, start: Start) -> None:
    relaying = relay(backend)
    stored = await store(backend, range(3))
    await relaying.rewind(stored[0].time, to="identity")
    start(relaying.run())
    assert [envelope for _, envelope in await take(backend, 3)] == stored


async def test_a_rewind_for_one_while_one_for_all_is_under_way_is_for_all(backend: Backend, start: Start) -> None:
    stopped = start(relay(backend).run())
    stored = await store(backend, range(3))
    await take(backend, 3)
    stopped.cancel()
    await asyncio.wait([stopped])
    relaying = relay(backend)
    await relaying.rewind(stored[0].time)
    await relaying.rewind(stored[0].time, to="identity")
    start(relaying.run())
    assert [envelope for _, envelope in await take(backend, 3)] == stored


async def test_a_rewind_leaves_alone_what_was_addressed_to_others(backend: Backend, start: Start) -> None:
    def to_the_router(envelope: Envelope) -> Sequence[OutgoingMessage]:
        return [OutgoingMessage(envelope=envelope, to="router")]

    relaying = relay(backend, to_the_router)
    start(relaying.run())
    stored = await store(backend, range(3))
    await take(backend, 3)
    await relaying.rewind(stored[0].time, to="identity")
    await store(backend, [3])
    await take(backend, 1)
    assert await backend.bus.subscribe("ingress", "identity").backlog() == 0


async def test_a_rewind_for_nobody_is_refused(backend: Backend) -> None:
    with pytest.raises(UnknownSubscription):
        await relay(backend).rewind(datetime.now(UTC), to="dispatcher")


async def take_of_identity(backend: Backend, count: int) -> list[str]:
    """Receive and complete so many messages of the other subscription; return their envelopes' ids."""
    taken: list[str] = []
    receiving = backend.bus.subscribe("ingress", "identity")
    async with asyncio.timeout(10):
        while len(taken) < count:
            for message in await receiving.receive(count - len(taken), timeout_s=1.0):
                taken.append(decode(message.body).id)
                await receiving.complete(message)
    return taken


async def test_of_two_relays_one_publishes_and_the_other_takes_over_from_it(backend: Backend, start: Start) -> None:
    first, second = relay(backend), relay(backend)
    at_work = start(first.run())
    await store(backend, range(5))
    await take(backend, 5)
    start(second.run())
    await store(backend, range(5, 10))
    await take(backend, 5)
    assert (first.published, second.published) == (10, 0)
    at_work.cancel()
    await store(backend, range(10, 15))
    await take(backend, 5)
    assert (first.published, second.published) == (10, 5)


async def test_a_message_too_large_for_the_bus_is_noted_and_holds_nobody_up(backend: Backend, start: Start) -> None:
    def bloated(envelope: Envelope) -> Sequence[OutgoingMessage]:
        if envelope.version != 3:
            return publish_all(envelope)
        return publish_all(msgspec.structs.replace(envelope, data=msgspec.Raw(b'"' + b"x" * 300_000 + b'"')))

    with capture_logs() as logs:
        stored = await store(backend, range(7))
        start(relay(backend, bloated).run())
        taken = await take(backend, 6)
    assert [envelope.id for _, envelope in taken] == [event.id for event in stored if event.version != 3]
    assert [document.id for document in await backend.views.listing("refused-messages")] == ["ingress/notes/1@3"]
    assert [entry["envelope_id"] for entry in logs if entry["event"] == "relay_message_refused"] == ["notes/1@3"]


async def test_lag_tells_how_long_the_oldest_unpublished_event_waits(backend: Backend, start: Start) -> None:
    relaying = relay(backend)
    assert await relaying.lag() == 0
    await store(backend, [1])
    assert 0 <= await relaying.lag() < 5
    start(relaying.run())
    await take(backend, 1)
    await published(relaying)


async def test_a_watermark_never_runs_ahead_of_what_was_published(backend: Backend, start: Start) -> None:
    relaying = relay(backend, watermarks=True)
    start(relaying.run())
    stored: list[Envelope] = []
    for burst in range(30):
        stored += await store(backend, range(burst % 7 + 1))
        await asyncio.sleep(random.Random(burst).uniform(0, 0.04))  # noqa: S311 - a spread of arrivals
    await published(relaying)
    seen: set[str] = set()
    marks = 0
    for envelope in await take_rest(backend):
        if envelope.type != Mark.TYPE:
            seen.add(envelope.id)
            continue
        marks += 1
        through = msgspec.json.decode(envelope.data, type=Mark).through
        assert {event.id for event in stored if event.time <= through} <= seen
    assert marks >= 2


async def test_watermarks_pass_the_last_event_and_go_on_while_nothing_happens(backend: Backend, start: Start) -> None:
    start(relay(backend, watermarks=True).run())
    (event,) = await store(backend, [1])
    marks: list[datetime] = []
    async with asyncio.timeout(5):
        while sum(through > event.time for through in marks) < 3:
            marks += [envelope.time for _, envelope in await take(backend, 1) if envelope.type == Mark.TYPE]
    assert marks == sorted(set(marks))


async def test_after_a_rewind_watermarks_start_again_from_its_moment(backend: Backend, start: Start) -> None:
    relaying = relay(backend, watermarks=True)
    start(relaying.run())
    stored = await store(backend, range(3))
    seen: list[Envelope] = []
    while not seen or seen[-1].time <= stored[-1].time:
        seen += [envelope for _, envelope in await take(backend, 1)]
    await relaying.rewind(stored[0].time)
    copies: list[Envelope] = []
    async with asyncio.timeout(5):
        while sum(envelope.type == Noted.TYPE for envelope in copies) < 3:
            copies += [envelope for _, envelope in await take(backend, 1)]
    back = next(i for i, envelope in enumerate(copies) if envelope.time < stored[0].time)
    assert back < min(i for i, envelope in enumerate(copies) if envelope.type == Noted.TYPE)


@pytest.mark.parametrize("seed", range(8))
async def test_a_relay_killed_at_any_moment_loses_nothing(backend: Backend, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a spread of moments
    stored: list[Envelope] = []
    for _ in range(12):
        running = asyncio.create_task(relay(backend, watermarks=seed % 2 == 0).run())
        for _ in range(chance.randrange(4)):
            stored += await store(backend, range(chance.randrange(1, 40)))
        await asyncio.sleep(chance.uniform(0, 0.03))
        running.cancel()
        await asyncio.wait([running])
    last = relay(backend)
    running = asyncio.create_task(last.run())
    await published(last)
    running.cancel()
    await asyncio.wait([running])
    taken = [envelope for envelope in await take_rest(backend) if envelope.type == Noted.TYPE]
    assert taken == stored
