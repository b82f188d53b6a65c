import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from libs.common.tests.flow.consuming import LOCK_S

from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.adapters.sqlite_bus import BUS_TABLES, SqliteBus
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.contracts.topology import Subscription
from zekt_common.ports import Bus


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    async with open_backend(tmp_path, "ingress") as opened:
        yield opened


@pytest.fixture
async def start(backend: Backend) -> AsyncIterator[Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]]:
    """Start loops that end with the test, before its files are closed."""
    del backend  # asked for so that it is open before the loops and closed after them
    tasks: list[asyncio.Task[None]] = []

    def begin(loop: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        tasks.append(asyncio.create_task(loop))
        return tasks[-1]

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def short_locks(tmp_path: Path) -> AsyncIterator[Bus]:
    database = await SqliteDatabase.open(tmp_path / "short.db", [BUS_TABLES])
    yield SqliteBus(database, subscriptions=[Subscription(topic="ingress", name="router", lock_s=LOCK_S)])
    await database.close()
