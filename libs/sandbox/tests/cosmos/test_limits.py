from typing import Any

import aiohttp
import pytest
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

from zekt_sandbox.cosmos import CosmosSandbox

TWO_MB = 2 * 2**20
large_bodies = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp's, above 1 MB


@large_bodies
async def test_an_item_holds_at_most_two_megabytes(container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "stream": "a", "data": "x" * (TWO_MB - 2000)})
    await container.create_item({"id": "2", "stream": "a", "data": "é" * (TWO_MB // 2 - 2000)})
    for attempt in (
        container.create_item({"id": "3", "stream": "a", "data": "x" * TWO_MB}),
        container.upsert_item({"id": "1", "stream": "a", "data": "x" * (9 * 2**20)}),
        container.patch_item("1", "a", [{"op": "add", "path": "/more", "value": "x" * 2000}]),
    ):
        with pytest.raises(CosmosHttpResponseError) as refused:
            await attempt
        assert refused.value.status_code == 413


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a?b", "a#b", "x" * 1024, ""])
async def test_ids_the_service_refuses_are_refused_in_batches_too(container: ContainerProxy, name: str) -> None:
    # Alone, the SDK refuses most of these by itself.
    with pytest.raises(CosmosBatchOperationError) as refused:
        await container.execute_item_batch([("create", ({"id": name, "stream": "a"},))], partition_key="a")
    assert refused.value.status_code == 400


async def test_a_partition_key_holds_at_most_two_kilobytes(container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "stream": "x" * 2048})
    with pytest.raises(CosmosHttpResponseError) as refused:
        await container.create_item({"id": "1", "stream": "x" * 2049})
    assert refused.value.status_code == 400


async def test_a_page_holds_at_most_four_megabytes(container: ContainerProxy) -> None:
    for n in range(12):
        await container.create_item({"id": f"{n}", "stream": "a", "data": "x" * 800_000})
    queried = container.query_items("SELECT * FROM c", partition_key="a", max_item_count=1000).by_page()
    changed = container.query_items_change_feed(
        partition_key="a", start_time="Beginning", max_item_count=1000
    ).by_page()
    assert [len([item async for item in page]) async for page in queried] == [5, 5, 2]
    assert [len([item async for item in page]) async for page in changed] == [6, 6]


@pytest.mark.parametrize("ttl", [0, -2, "60", 1.5, True])
async def test_a_time_to_live_is_a_positive_number_or_minus_one(container: ContainerProxy, ttl: Any) -> None:
    with pytest.raises(CosmosHttpResponseError) as refused:
        await container.create_item({"id": "1", "stream": "a", "ttl": ttl})
    assert refused.value.status_code == 400


async def test_an_unknown_route_is_refused(sandbox: CosmosSandbox) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{sandbox.url}/dbs/zekt/users") as answer:
        assert answer.status == 400
        assert "does not serve GET dbs/*/users" in await answer.text()
