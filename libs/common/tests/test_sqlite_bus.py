import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from zekt_common.adapters.sqlite_bus import BUS_TABLES, SqliteBus
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_file import WriterLock
from zekt_common.adapters.sqlite_group_commit import GroupCommit, Write
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
    opened = await SqliteDatabase.open(tmp_path / "bus.db", [BUS_TABLES], committer="loop")
    yield opened
    await opened.close()


async def test_64_settlements_share_few_commits(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = SqliteBus(database)
    await bus.publish("ingress", [message(n) for n in range(192)])
    receiver = bus.subscribe("ingress", "router")
    first, second, third = [await receiver.receive(64, timeout_s=0) for _ in range(3)]
    batches: list[int] = []
    commit = GroupCommit.commit_now

    def counting(commits: GroupCommit, submitted: Sequence[Write]) -> list[Any] | None:
        batches.append(len(submitted))
        return commit(commits, submitted)

    monkeypatch.setattr(GroupCommit, "commit_now", counting)
    await asyncio.gather(
        *(receiver.complete(each) for each in first),
        *(receiver.retry(each, after_s=1) for each in second),
        *(receiver.dead_letter(each, "broken") for each in third),
    )
    assert sum(batches) == 192
    assert len(batches) <= 6
    assert await receiver.backlog() == 64


async def test_nothing_on_the_bus_waits_for_the_disk_but_a_sync(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = SqliteBus(database)
    receiver = bus.subscribe("ingress", "router")
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    await bus.publish("ingress", [message(n) for n in range(4)])
    completed, retried, buried, released = await receiver.receive(4, timeout_s=0)
    await receiver.renew(released)
    await receiver.release([released])
    await receiver.complete(completed)
    await receiver.retry(retried, after_s=1)
    await receiver.dead_letter(buried, "broken")
    assert not synced
    await bus.sync()
    assert len(synced) == 1


async def test_only_what_can_be_received_wakes_a_receiver(database: SqliteDatabase) -> None:
    bus = SqliteBus(database)
    receiver = bus.subscribe("ingress", "router")
    await bus.publish("ingress", [message(n) for n in range(3)])
    kept, completed, buried = await receiver.receive(3, timeout_s=0)
    before = database.revision("ingress/router")
    await receiver.renew(kept)
    await receiver.complete(completed)
    await receiver.dead_letter(buried, "broken")
    assert database.revision("ingress/router") == before
    await receiver.release([kept])
    assert database.revision("ingress/router") == before + 1


async def test_a_file_that_the_loop_commits_takes_no_durable_writes(database: SqliteDatabase) -> None:
    with pytest.raises(ValueError, match="sync the file"):
        await database.write(lambda _connection, batch: batch, None, durable=True)


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
    began = time.thread_time()
    received = [each for _ in range(100) for each in await receiver.receive(10, timeout_s=0)]
    assert [each.message_id for each in received] == [f"run/{n}@1" for n in range(1000)]
    assert time.thread_time() - began < 2


async def test_a_process_that_stopped_while_it_committed_holds_up_the_bus_but_not_the_loop(
    database: SqliteDatabase,
) -> None:
    bus, messages = SqliteBus(database), [message(1), message(2)]
    with contextlib.closing(WriterLock(database.path)) as held_by_another:
        held_by_another.acquire(wait=True)
        publishing = [asyncio.create_task(bus.publish("ingress", [each])) for each in messages]
        for _ in range(100):
            await asyncio.sleep(0.001)  # a turn of the loop, which would be held up
        assert not any(task.done() for task in publishing)
    await asyncio.gather(*publishing)
    received = await bus.subscribe("ingress", "router").receive(2, timeout_s=0)
    assert [each.message_id for each in received] == [each.envelope.id for each in messages]


async def test_what_waits_for_another_process_is_committed_before_the_file_closes(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(tmp_path / "bus.db", [BUS_TABLES], committer="loop")
    with contextlib.closing(WriterLock(database.path)) as held_by_another:
        held_by_another.acquire(wait=True)
        publishing = asyncio.create_task(SqliteBus(database).publish("ingress", [message(1)]))
        await asyncio.sleep(0)
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
    await publishing
    await closing
