"""What the tests of the relay share: events to relay, and what became of them on the bus."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from libs.common.tests.patience import PATIENCE_S

from zekt_common.adapters.embedded import Backend
from zekt_common.envelope import Envelope, Event, NewEvent, decode
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


async def take(backend: Backend, count: int) -> list[tuple[str, Envelope]]:
    """Receive and complete `count` messages, as (message id, envelope)."""
    taken: list[tuple[str, Envelope]] = []
    receiving = receiver(backend)
    async with asyncio.timeout(PATIENCE_S):
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
    async with asyncio.timeout(PATIENCE_S):
        while await relaying.lag() > 0:  # noqa: ASYNC110 - the lag is in files, and nothing else tells of it
            await asyncio.sleep(0.01)


def wipe_bus(data_dir: Path) -> None:
    connection = sqlite3.connect(data_dir / "bus.db")
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    for (table,) in tables.fetchall():
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - the schema's own names
    connection.commit()
    connection.close()
