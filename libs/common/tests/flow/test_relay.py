import asyncio
import random
from collections.abc import Sequence
from datetime import datetime

import msgspec
import pytest
from libs.common.tests.flow.relaying import (
    Mark,
    Noted,
    Start,
    publish_all,
    published,
    relay,
    store,
    take,
    take_rest,
)
from libs.common.tests.patience import PATIENCE_S
from structlog.testing import capture_logs

from zekt_common.adapters.embedded import Backend
from zekt_common.envelope import Envelope
from zekt_common.kit import relay as kit_relay
from zekt_common.ports import OutgoingMessage


async def test_stored_events_are_published_in_feed_order(backend: Backend, start: Start) -> None:
    before = await store(backend, range(3))
    start(relay(backend).run())
    after = await store(backend, range(3, 6))
    taken = await take(backend, 6)
    assert [envelope.id for _, envelope in taken] == [envelope.id for envelope in before + after]
    assert [message_id for message_id, _ in taken] == [envelope.id for envelope in before + after]


async def test_a_new_event_is_published_when_it_is_stored_not_when_something_else_is_due(
    backend: Backend, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    for interval in ("LOOK_EVERY_S", "SAVE_EVERY_S"):
        monkeypatch.setattr(kit_relay, interval, 100 * PATIENCE_S)
    start(relay(backend).run())
    for n in range(20):
        (stored,) = await store(backend, [n])
        assert [envelope for _, envelope in await take(backend, 1)] == [stored]


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
    assert await relay(backend).refused() == 1


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
    async with asyncio.timeout(PATIENCE_S):
        while sum(through > event.time for through in marks) < 3:
            marks += [envelope.time for _, envelope in await take(backend, 1) if envelope.type == Mark.TYPE]
    assert marks == sorted(set(marks))


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
