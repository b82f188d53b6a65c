"""Counting what a subscription holds, beside the consumer."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from libs.common.tests.flow.consuming import Inbox, Noted, Start, message
from libs.common.tests.patience import PATIENCE_S
from structlog.testing import capture_logs

from zekt_common.adapters.sqlite_bus import BUS_TABLES, SqliteBus, SqliteReceiver
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.clock import utc_now
from zekt_common.contracts.topology import SUBSCRIPTIONS, Subscription
from zekt_common.errors import BackendUnavailable
from zekt_common.kit.backlog_count import BacklogCount
from zekt_common.kit.consumer import Consumer
from zekt_common.ports import Receiver

[TERMS] = [each for each in SUBSCRIPTIONS if (each.topic, each.name) == ("ingress", "router")]


class SlowToCount(SqliteReceiver):
    """Fails its first count, as a page of a large backlog does that takes too long."""

    def __init__(self, database: SqliteDatabase, subscription: Subscription) -> None:
        super().__init__(database, subscription, utc_now)
        self.counts = 0
        self.counted_twice = asyncio.Event()

    async def backlog(self) -> int:
        self.counts += 1
        if self.counts == 1:
            raise BackendUnavailable("the page took too long")
        self.counted_twice.set()
        return await super().backlog()


class SlowToCountBus(SqliteBus):
    def __init__(self, database: SqliteDatabase) -> None:
        super().__init__(database)
        self.receiver = SlowToCount(database, TERMS)

    def subscribe(self, topic: str, subscription: str, /) -> Receiver:
        del topic, subscription
        return self.receiver


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[SlowToCountBus]:
    database = await SqliteDatabase.open(tmp_path / "bus.db", [BUS_TABLES])
    yield SlowToCountBus(database)
    await database.close()


async def test_a_count_that_fails_is_logged_and_holds_the_consumer_up_in_nothing(bus: SlowToCountBus) -> None:
    inbox = Inbox()
    consuming = Consumer(bus, "ingress", "router", {Noted: inbox.handle})
    with capture_logs() as logs:
        running = asyncio.create_task(consuming.run())
        await bus.publish("ingress", [message(1)])
        assert await inbox.next() == 1
        async with asyncio.timeout(PATIENCE_S):
            await consuming.caught_up.wait()
        await consuming.drain()
        await running
    assert [log["event"] for log in logs] == ["backlog_not_counted"]


async def test_what_could_not_be_counted_is_counted_again(bus: SlowToCountBus, start: Start) -> None:
    await bus.publish("ingress", [message(n) for n in range(3)])
    start(BacklogCount(bus.receiver, TERMS, every_s=0.01).run())
    async with asyncio.timeout(PATIENCE_S):
        await bus.receiver.counted_twice.wait()
