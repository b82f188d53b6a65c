from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import DatabaseProxy
from azure.cosmos.exceptions import CosmosHttpResponseError

ONLY_SOME: Any = {
    "indexingMode": "consistent",
    "includedPaths": [{"path": "/version/?"}, {"path": "/inner/*"}],
    "excludedPaths": [{"path": "/*"}, {"path": "/inner/secret/?"}],
    "compositeIndexes": [[{"path": "/version", "order": "ascending"}, {"path": "/type", "order": "descending"}]],
}


async def ordered_by(database: DatabaseProxy, order: str) -> list[Any]:
    container = await database.create_container_if_not_exists("c", PartitionKey("/p"), indexing_policy=ONLY_SOME)
    query = f"SELECT * FROM c ORDER BY {order}"  # noqa: S608  the test's own words
    return [row async for row in container.query_items(query, partition_key="a")]


@pytest.mark.parametrize(
    "order",
    [
        "c.version",
        "c.inner.x DESC",
        "c['inner'].x",
        "c.id",
        "c._ts",
        "c.version, c.type DESC",
        "c.version DESC, c.type",
    ],
)
async def test_indexed_paths_can_be_ordered_by(database: DatabaseProxy, order: str) -> None:
    assert await ordered_by(database, order) == []


@pytest.mark.parametrize("order", ["c.type", "c.p", "c.version.deeper", "c.inner.secret"])
async def test_an_excluded_path_cannot_be_ordered_by(database: DatabaseProxy, order: str) -> None:
    with pytest.raises(CosmosHttpResponseError, match="excluded") as refused:
        await ordered_by(database, order)
    assert refused.value.status_code == 400


@pytest.mark.parametrize("order", ["c.version, c.type", "c.type DESC, c.version", "c.version, c.id"])
async def test_several_paths_need_a_composite_index(database: DatabaseProxy, order: str) -> None:
    with pytest.raises(CosmosHttpResponseError, match="composite index") as refused:
        await ordered_by(database, order)
    assert refused.value.status_code == 400
