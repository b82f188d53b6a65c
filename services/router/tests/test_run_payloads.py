"""Payloads by reference, checked where a service asks for it, as they are found."""

import contextlib
import sqlite3
from pathlib import Path

from services.router.tests.stored_runs import CONSUMER, T0, completed, define, envelope, handlers, provider, sent, story
from zekt_common.adapters.embedded import Backend
from zekt_common.ports import PayloadRef
from zekt_router.run_events import RunRouted


async def test_a_payload_by_reference_is_checked_against_the_schema(backend: Backend) -> None:
    schema = {"properties": {"a": {"type": "string"}}}
    await define(backend, provider("events+messages", schema=schema))
    await define(backend, CONSUMER)
    ref = await backend.payloads.put(1, b'{"a": 1}')
    router = handlers(backend)
    await router.message_received(sent(0, payload=None, ref=ref), envelope(sent(), "m"))
    await router.run_completed(completed(1), envelope(completed()))
    (page,) = [event for event in await story(backend) if isinstance(event, RunRouted)]
    assert [refused.reason for refused in page.refused] == ["schema_mismatch"]
    assert page.payload_ref == ref


async def test_a_payload_that_has_expired_is_refused_where_it_would_be_checked(backend: Backend) -> None:
    await define(backend, provider("events+messages", schema={"type": "object"}))
    await define(backend, CONSUMER)
    gone = PayloadRef(account_id=1, sha256="0" * 64, size_bytes=8, expires_at=T0)
    router = handlers(backend)
    await router.message_received(sent(0, payload=None, ref=gone), envelope(sent(), "m"))
    await router.run_completed(completed(1), envelope(completed()))
    (page,) = [event for event in await story(backend) if isinstance(event, RunRouted)]
    assert [refused.reason for refused in page.refused] == ["payload_unavailable"]


async def test_a_payload_that_is_damaged_is_refused_where_it_would_be_checked(backend: Backend, tmp_path: Path) -> None:
    await define(backend, provider("events+messages", schema={"type": "object"}))
    await define(backend, CONSUMER)
    ref = await backend.payloads.put(1, b'{"a": 1}')
    with contextlib.closing(sqlite3.connect(tmp_path / "payloads.db", isolation_level=None)) as connection:
        connection.execute("UPDATE payloads SET body = zeroblob(length(body))")
    router = handlers(backend)
    await router.message_received(sent(0, payload=None, ref=ref), envelope(sent(), "m"))
    await router.run_completed(completed(1), envelope(completed()))
    (page,) = [event for event in await story(backend) if isinstance(event, RunRouted)]
    assert [refused.reason for refused in page.refused] == ["payload_unavailable"]
