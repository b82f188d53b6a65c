import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from zekt_common.adapters.sqlite_bus import BUS_TABLES, SqliteBus
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_group_commit import BatchWrite
from zekt_common.contracts.topology import DUPLICATE_WINDOW_S
from zekt_common.envelope import Event, NewEvent, seal
from zekt_common.ports import OutgoingMessage


class Noted(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.noted"
    n: int


class ManualClock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def message(n: int) -> OutgoingMessage:
    event = NewEvent(body=Noted(n=n), source="test", subject=f"run/{n}", correlationid="c", causationid="c")
    return OutgoingMessage(
        envelope=seal(event, stream=f"run/{n}", version=1, commitid="c", time=datetime(2026, 1, 1, tzinfo=UTC))
    )


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = await SqliteDatabase.open(tmp_path / "bus.db", [BUS_TABLES])
    yield opened
    await opened.close()


async def test_64_settlements_share_few_commits(database: SqliteDatabase) -> None:
    bus = SqliteBus(database)
    await bus.publish("ingress", [message(n) for n in range(192)])
    receiver = bus.subscribe("ingress", "router")
    first, second, third = [await receiver.receive(64, timeout_s=0) for _ in range(3)]
    before = database.revision
    await asyncio.gather(
        *(receiver.complete(each) for each in first),
        *(receiver.retry(each, after_s=1) for each in second),
        *(receiver.dead_letter(each, "broken") for each in third),
    )
    assert database.revision - before <= 6
    assert await receiver.backlog() == 64


async def test_settling_needs_no_disk_unless_something_is_written_anew(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = SqliteBus(database)
    receiver = bus.subscribe("ingress", "router")
    synced: list[bool] = []
    write = database.write

    async def noting(apply: BatchWrite[Any, Any], item: object, *, durable: bool = True) -> object:
        synced.append(durable)
        return await write(apply, item, durable=durable)

    monkeypatch.setattr(database, "write", noting)
    await bus.publish("ingress", [message(n) for n in range(4)])
    completed, retried, buried, released = await receiver.receive(4, timeout_s=0)
    await receiver.renew(released)
    await receiver.release([released])
    await receiver.complete(completed)
    await receiver.retry(retried, after_s=1)
    await receiver.dead_letter(buried, "broken")
    assert synced == [True, False, False, False, False, True, True]


async def test_message_ids_are_forgotten_in_passing_after_the_window(database: SqliteDatabase) -> None:
    clock = ManualClock()
    bus = SqliteBus(database, clock=clock)
    await bus.publish("ingress", [message(n) for n in range(5000)])
    clock.now += timedelta(seconds=DUPLICATE_WINDOW_S + 1)
    for n in range(5000, 5004):
        await bus.publish("ingress", [message(n)])
    assert database.query("SELECT count(*) FROM seen") == [(4,)]


async def test_ten_thousand_waiting_messages_are_received_by_index(database: SqliteDatabase) -> None:
    bus = SqliteBus(database)
    for start in range(0, 10_000, 500):
        await bus.publish("ingress", [message(n) for n in range(start, start + 500)])
    receiver = bus.subscribe("ingress", "router")
    loop = asyncio.get_running_loop()
    began = loop.time()
    received = [each for _ in range(100) for each in await receiver.receive(10, timeout_s=0)]
    assert [each.message_id for each in received] == [f"run/{n}@1" for n in range(1000)]
    assert loop.time() - began < 2
