"""What a message may be: misshapen, newer, unknown, repeated or forged; none blocks the others."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import ClassVar

from libs.common.tests.flow.consuming import (
    TRACEPARENT,
    Inbox,
    Noted,
    Other,
    Start,
    consumer,
    message,
    publish,
    reasons,
    settled,
)
from structlog.testing import capture_logs

from zekt_common.adapters.embedded import Backend
from zekt_common.envelope import Envelope, Event
from zekt_common.kit.consumer import Complete, Settlement
from zekt_common.telemetry.tracing import current_span


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
