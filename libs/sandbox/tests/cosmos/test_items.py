from typing import Any

import pytest
from azure.core import MatchConditions
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

UNMODIFIED = MatchConditions.IfNotModified


async def test_an_item_is_read_back_with_what_the_service_adds(container: ContainerProxy) -> None:
    created = await container.create_item({"id": "1", "stream": "a", "n": 1.5, "data": {"é": [True, None]}})
    read = await container.read_item("1", "a")
    assert dict(read) == dict(created)
    assert read["data"] == {"é": [True, None]}
    assert {"_rid", "_self", "_etag", "_ts"} <= read.keys()


async def test_every_answer_says_what_it_cost_and_where_it_came_from(container: ContainerProxy) -> None:
    created = await container.create_item({"id": "1", "stream": "a"})
    headers = created.get_response_headers()
    assert float(headers["x-ms-request-charge"]) > 1
    assert headers["etag"] == created["_etag"]
    assert int(headers["lsn"]) == 1
    with pytest.raises(CosmosResourceNotFoundError) as missing:
        await container.read_item("2", "a")
    assert float(missing.value.headers["x-ms-request-charge"]) == 1


async def test_an_id_is_taken_once_in_its_partition(container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "stream": "a"})
    await container.create_item({"id": "1", "stream": "b"})
    with pytest.raises(CosmosResourceExistsError):
        await container.create_item({"id": "1", "stream": "a"})


async def test_a_missing_item_can_be_neither_read_replaced_patched_nor_deleted(container: ContainerProxy) -> None:
    item = {"id": "1", "stream": "a"}
    add = [{"op": "add", "path": "/n", "value": 1}]
    for attempt in (
        container.read_item("1", "a"),
        container.replace_item("1", item),
        container.patch_item("1", "a", add),
        container.delete_item("1", "a"),
    ):
        with pytest.raises(CosmosResourceNotFoundError):
            await attempt


async def test_an_upsert_creates_and_then_replaces(container: ContainerProxy) -> None:
    first = await container.upsert_item({"id": "1", "stream": "a", "n": 1})
    second = await container.upsert_item({"id": "1", "stream": "a", "n": 2})
    assert second["_etag"] != first["_etag"]
    assert second["_rid"] == first["_rid"]
    assert (await container.read_item("1", "a"))["n"] == 2


async def test_a_write_that_asks_for_no_answer_gets_none(container: ContainerProxy) -> None:
    created = await container.create_item({"id": "1", "stream": "a"}, no_response=True)
    assert dict(created) == {}
    assert (await container.read_item("1", "a"))["stream"] == "a"


async def test_only_the_version_one_has_seen_is_replaced(container: ContainerProxy) -> None:
    seen = (await container.create_item({"id": "1", "stream": "a", "n": 1}))["_etag"]
    await container.replace_item("1", {"id": "1", "stream": "a", "n": 2}, etag=seen, match_condition=UNMODIFIED)
    for attempt in (
        container.replace_item("1", {"id": "1", "stream": "a"}, etag=seen, match_condition=UNMODIFIED),
        container.upsert_item({"id": "1", "stream": "a"}, etag=seen, match_condition=UNMODIFIED),
        container.delete_item("1", "a", etag=seen, match_condition=UNMODIFIED),
    ):
        with pytest.raises(CosmosAccessConditionFailedError):
            await attempt
    assert (await container.read_item("1", "a"))["n"] == 2


async def test_a_version_one_has_already_is_not_sent_again(container: ContainerProxy) -> None:
    seen = (await container.create_item({"id": "1", "stream": "a"}))["_etag"]
    headers: dict[str, Any] = {}
    again = await container.read_item(
        "1",
        "a",
        etag=seen,
        match_condition=MatchConditions.IfModified,
        response_hook=lambda got, _: headers.update(got),
    )
    assert not again
    assert "x-ms-request-charge" in headers


async def test_a_deleted_item_is_gone_and_its_id_free(container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "stream": "a"})
    await container.delete_item("1", "a")
    with pytest.raises(CosmosResourceNotFoundError):
        await container.read_item("1", "a")
    await container.create_item({"id": "1", "stream": "a"})


@pytest.mark.parametrize("key", ["", "ü/ ?#\\", "x" * 300, 5, 2.5, True, None])
async def test_a_partition_key_can_be_any_value(container: ContainerProxy, key: Any) -> None:
    await container.create_item({"id": "1", "stream": key})
    assert (await container.read_item("1", key))["stream"] == key
    assert [found["id"] async for found in container.query_items("SELECT * FROM c", partition_key=key)] == ["1"]


async def test_an_item_stays_in_its_partition(container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "stream": "a"})
    with pytest.raises(CosmosHttpResponseError) as refused:
        await container.patch_item("1", "a", [{"op": "set", "path": "/stream", "value": "b"}])
    assert (refused.value.status_code, refused.value.sub_status) == (400, 1001)


@pytest.mark.parametrize("name", ["a b", "per%cent", "ünï", "q'uote", "pl+us", "co:lon", "~", "日本", "@|,"])
async def test_ids_may_hold_what_urls_escape(container: ContainerProxy, name: str) -> None:
    await container.create_item({"id": name, "stream": "a"})
    assert (await container.read_item(name, "a"))["id"] == name
    await container.delete_item(name, "a")
