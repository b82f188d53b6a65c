import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.adapters.sqlite_bus import BUS_TABLES
from zekt_common.adapters.sqlite_database import SqliteDatabase


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
async def bus_file(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    """A file for a bus whose locks last as long as a test wants."""
    database = await SqliteDatabase.open(tmp_path / "locks.db", [BUS_TABLES])
    yield database
    await database.close()
