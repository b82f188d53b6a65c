from collections.abc import AsyncIterator
from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient, DatabaseProxy

from zekt_sandbox.cosmos import CosmosSandbox, serving


@pytest.fixture
async def sandbox() -> AsyncIterator[CosmosSandbox]:
    async with serving(key_ranges=3) as running:
        yield running


@pytest.fixture
async def client(sandbox: CosmosSandbox) -> AsyncIterator[CosmosClient]:
    async with CosmosClient(sandbox.url, credential=sandbox.key) as connected:
        yield connected


@pytest.fixture
async def database(client: CosmosClient) -> DatabaseProxy:
    return await client.create_database("zekt")


@pytest.fixture
async def container(database: DatabaseProxy) -> ContainerProxy:
    return await database.create_container("events", PartitionKey("/stream"))


@pytest.fixture
async def fill(container: ContainerProxy) -> Any:
    """Creates items 1 to `count` in each of some streams: `await fill("a", "b", count=3)`."""

    async def fill(*streams: str, count: int) -> None:
        for stream in streams:
            items = [{"id": f"{n}", "stream": stream, "n": n} for n in range(1, count + 1)]
            for start in range(0, count, 100):
                creates = [("create", (item,)) for item in items[start : start + 100]]
                await container.execute_item_batch(creates, partition_key=stream)

    return fill
