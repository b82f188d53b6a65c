from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, DatabaseProxy
from azure.cosmos.exceptions import CosmosResourceNotFoundError

from zekt_sandbox.cosmos import CosmosSandbox


@pytest.fixture
async def container(database: DatabaseProxy) -> ContainerProxy:
    return await database.create_container("events", PartitionKey("/stream"), default_ttl=60)


async def ids(container: ContainerProxy, **options: Any) -> list[str]:
    found = container.query_items("SELECT * FROM c ORDER BY c.id", partition_key="a", **options)
    return [item["id"] async for item in found]


async def test_an_expired_item_is_gone_from_reads_queries_counts_and_feeds(
    container: ContainerProxy, sandbox: CosmosSandbox
) -> None:
    await container.create_item({"id": "1", "stream": "a"})
    await container.create_item({"id": "2", "stream": "a", "ttl": 10})
    await container.create_item({"id": "3", "stream": "a", "ttl": -1})
    assert await ids(container) == ["1", "2", "3"]
    sandbox.clock.advance(11)
    assert await ids(container) == ["1", "3"]
    sandbox.clock.advance(60)
    assert await ids(container) == ["3"]
    counted: Any = container.query_items("SELECT VALUE COUNT(1) FROM c", partition_key="a")
    assert [count async for count in counted] == [1]
    feed = container.query_items_change_feed(start_time="Beginning")
    assert [change["id"] async for change in feed] == ["3"]
    with pytest.raises(CosmosResourceNotFoundError):
        await container.read_item("1", "a")


async def test_an_expired_items_id_is_free(container: ContainerProxy, sandbox: CosmosSandbox) -> None:
    await container.create_item({"id": "1", "stream": "a"})
    sandbox.clock.advance(61)
    await container.create_item({"id": "1", "stream": "a"})
    assert await ids(container) == ["1"]


async def test_a_write_starts_the_time_anew(container: ContainerProxy, sandbox: CosmosSandbox) -> None:
    await container.create_item({"id": "1", "stream": "a"})
    sandbox.clock.advance(50)
    await container.upsert_item({"id": "1", "stream": "a"})
    sandbox.clock.advance(50)
    assert await ids(container) == ["1"]


async def test_items_that_expire_between_two_pages_are_left_out(
    container: ContainerProxy, sandbox: CosmosSandbox
) -> None:
    for number in range(6):
        await container.create_item({"id": f"{number}", "stream": "a", "ttl": 10 if number == 4 else 60})
    seen: list[str] = []
    pages = container.query_items("SELECT * FROM c ORDER BY c.id", partition_key="a", max_item_count=2).by_page()
    async for page in pages:
        seen += [item["id"] async for item in page]
        sandbox.clock.advance(6)
    assert seen == ["0", "1", "2", "3", "5"]


async def test_without_a_default_nothing_expires(database: DatabaseProxy, sandbox: CosmosSandbox) -> None:
    container = await database.create_container("lasting", PartitionKey("/stream"))
    await container.create_item({"id": "1", "stream": "a", "ttl": 10})
    sandbox.clock.advance(11)
    assert await ids(container) == ["1"]
