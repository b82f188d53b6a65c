from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient, DatabaseProxy
from azure.cosmos.exceptions import (
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from zekt_sandbox.cosmos import CosmosSandbox, NotLoopbackError, serving

EVENTS_INDEX: Any = {
    "indexingMode": "consistent",
    "automatic": True,
    "includedPaths": [{"path": "/n/?"}],
    "excludedPaths": [{"path": "/*"}],
}


async def test_the_account_names_its_write_regions(sandbox: CosmosSandbox) -> None:
    sandbox.write_regions = ("West Europe", "North Europe")
    async with CosmosClient(sandbox.url, credential=sandbox.key) as client:
        account = await client._get_database_account()  # noqa: SLF001  asyncio's client has no public way
    assert [region["name"] for region in account.WritableLocations] == ["West Europe", "North Europe"]


async def test_a_database_is_created_once_and_read_and_deleted(client: CosmosClient) -> None:
    database = await client.create_database_if_not_exists("zekt")
    assert (await database.read())["id"] == "zekt"
    with pytest.raises(CosmosResourceExistsError):
        await client.create_database("zekt")
    assert (await client.create_database_if_not_exists("zekt")).id == "zekt"
    assert [found["id"] async for found in client.list_databases()] == ["zekt"]
    await client.delete_database("zekt")
    with pytest.raises(CosmosResourceNotFoundError):
        await database.read()


async def test_a_container_keeps_its_definition(database: DatabaseProxy) -> None:
    await database.create_container(
        "events", PartitionKey("/stream"), indexing_policy=EVENTS_INDEX, default_ttl=60, offer_throughput=400
    )
    properties = await database.get_container_client("events").read()
    assert properties["partitionKey"]["paths"] == ["/stream"]
    assert properties["indexingPolicy"] == EVENTS_INDEX
    assert properties["defaultTtl"] == 60
    assert [found["id"] async for found in database.list_containers()] == ["events"]


async def test_a_container_is_created_once(database: DatabaseProxy, container: ContainerProxy) -> None:
    with pytest.raises(CosmosResourceExistsError):
        await database.create_container("events", PartitionKey("/stream"))
    again = await database.create_container_if_not_exists("events", PartitionKey("/stream"))
    assert again.id == container.id


async def test_indexing_and_time_to_live_can_be_replaced(database: DatabaseProxy, container: ContainerProxy) -> None:
    before = await container.read()
    await database.replace_container(container, PartitionKey("/stream"), indexing_policy=EVENTS_INDEX, default_ttl=-1)
    after = await container.read()
    assert after["indexingPolicy"] == EVENTS_INDEX
    assert after["defaultTtl"] == -1
    assert after["_etag"] != before["_etag"]
    assert after["_rid"] == before["_rid"]


async def test_a_partition_key_cannot_be_replaced(database: DatabaseProxy, container: ContainerProxy) -> None:
    with pytest.raises(CosmosHttpResponseError) as refused:
        await database.replace_container(container, PartitionKey("/other"))
    assert refused.value.status_code == 400


@pytest.mark.parametrize(
    "options",
    [
        {"partition_key": PartitionKey(["/a", "/b"], kind="MultiHash")},
        {"partition_key": PartitionKey("/a"), "unique_key_policy": {"uniqueKeys": [{"paths": ["/b"]}]}},
    ],
    ids=["several partition key paths", "unique keys"],
)
async def test_what_the_stand_in_lacks_is_refused(database: DatabaseProxy, options: Any) -> None:
    with pytest.raises(CosmosHttpResponseError, match="this stand-in has") as refused:
        await database.create_container("other", **options)
    assert refused.value.status_code == 400


async def test_a_deleted_container_is_gone_with_its_items(database: DatabaseProxy, container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "stream": "a"})
    await database.delete_container("events")
    with pytest.raises(CosmosResourceNotFoundError):
        await container.read_item("1", "a")
    await database.create_container("events", PartitionKey("/stream"))
    with pytest.raises(CosmosResourceNotFoundError):
        await container.read_item("1", "a")
    await container.create_item({"id": "1", "stream": "a"})


async def test_a_missing_database_is_told_from_a_missing_container(client: CosmosClient) -> None:
    with pytest.raises(CosmosResourceNotFoundError) as missing:
        await client.get_database_client("none").get_container_client("events").read()
    assert missing.value.sub_status == 1003
    with pytest.raises(CosmosResourceNotFoundError):
        await client.get_database_client("none").read()


async def test_the_stand_in_is_not_to_be_reached_from_outside() -> None:
    with pytest.raises(NotLoopbackError, match="loopback only"):
        async with serving(host="0.0.0.0"):  # noqa: S104  refused, which is the point
            pass
