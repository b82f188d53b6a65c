from typing import Any

import pytest
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import CosmosAccessConditionFailedError, CosmosHttpResponseError


@pytest.fixture
async def item(container: ContainerProxy) -> dict[str, Any]:
    return await container.create_item({"id": "1", "stream": "a", "n": 1, "list": [1, 2], "inner": {"x": 1}})


async def test_operations_apply_in_order(container: ContainerProxy, item: dict[str, Any]) -> None:
    patched = await container.patch_item(
        "1",
        "a",
        [
            {"op": "incr", "path": "/n", "value": 4},
            {"op": "incr", "path": "/new", "value": 1},
            {"op": "add", "path": "/list/0", "value": 0},
            {"op": "add", "path": "/list/-", "value": 3},
            {"op": "replace", "path": "/list/1", "value": 9},
            {"op": "remove", "path": "/list/2"},
            {"op": "incr", "path": "/list/0", "value": 5},
            {"op": "set", "path": "/inner/y", "value": 2},
            {"op": "remove", "path": "/inner/x"},
        ],
    )
    assert {name: patched[name] for name in ("n", "new", "list", "inner")} == {
        "n": 5,
        "new": 1,
        "list": [5, 9, 3],
        "inner": {"y": 2},
    }
    assert patched["_etag"] != item["_etag"]
    assert dict(await container.read_item("1", "a")) == dict(patched)


@pytest.mark.usefixtures("item")
@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "remove", "path": "/none"},
        {"op": "remove", "path": "/list/7"},
        {"op": "set", "path": "/none/deeper", "value": 1},
        {"op": "incr", "path": "/inner", "value": 1},
        {"op": "juggle", "path": "/n", "value": 1},
        {"op": "juggle", "path": "/list/0", "value": 1},
        {"op": "set", "path": "/id", "value": "2"},
    ],
)
async def test_an_operation_that_does_not_fit_changes_nothing(
    container: ContainerProxy, operation: dict[str, Any]
) -> None:
    before = await container.read_item("1", "a")
    with pytest.raises(CosmosHttpResponseError) as refused:
        await container.patch_item("1", "a", [{"op": "incr", "path": "/n", "value": 1}, operation])
    assert refused.value.status_code == 400
    assert dict(await container.read_item("1", "a")) == dict(before)


@pytest.mark.usefixtures("item")
async def test_a_patch_has_at_most_ten_operations(container: ContainerProxy) -> None:
    with pytest.raises(CosmosHttpResponseError, match="can't exceed '10'"):
        await container.patch_item("1", "a", [{"op": "incr", "path": "/n", "value": 1}] * 11)


@pytest.mark.usefixtures("item")
async def test_a_condition_decides_whether_a_patch_applies(container: ContainerProxy) -> None:
    add = [{"op": "incr", "path": "/n", "value": 1}]
    await container.patch_item("1", "a", add, filter_predicate="FROM c WHERE c.n = 1")
    with pytest.raises(CosmosAccessConditionFailedError):
        await container.patch_item("1", "a", add, filter_predicate="FROM c WHERE c.n = 1")
    assert (await container.read_item("1", "a"))["n"] == 2
