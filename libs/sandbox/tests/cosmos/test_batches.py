from typing import Any

import pytest
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError, CosmosResourceNotFoundError


def item(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"{number}", "stream": "a", **more}


def create(number: int, **more: Any) -> tuple[str, tuple[dict[str, Any]]]:
    return ("create", (item(number, **more),))


async def ids(container: ContainerProxy) -> list[str]:
    return [found["id"] async for found in container.query_items("SELECT * FROM c", partition_key="a")]


async def test_each_operation_answers_with_its_status_and_item(container: ContainerProxy) -> None:
    await container.create_item(item(1))
    await container.create_item(item(2))
    answers = await container.execute_item_batch(
        [
            ("read", ("1",)),
            create(3),
            ("upsert", (item(4),)),
            ("upsert", (item(4, n=1),)),
            ("replace", ("1", item(1, n=1))),
            ("patch", ("1", [{"op": "incr", "path": "/n", "value": 1}])),
            ("delete", ("2",)),
        ],
        partition_key="a",
    )
    assert [answer["statusCode"] for answer in answers] == [200, 201, 201, 200, 200, 200, 204]
    assert answers[5]["resourceBody"]["n"] == 2
    assert answers[5]["eTag"] == answers[5]["resourceBody"]["_etag"]
    assert "resourceBody" not in answers[6]
    assert await ids(container) == ["1", "3", "4"]


@pytest.mark.parametrize(
    ("failing", "status"),
    [
        (create(1), 409),
        (("read", ("9",)), 404),
        (("delete", ("9",)), 404),
        (("replace", ("9", item(9))), 404),
        (("replace", ("1", item(1)), {"if_match_etag": '"other"'}), 412),
        (("create", ({"id": "9", "stream": "b"},)), 400),
    ],
)
async def test_one_refused_operation_undoes_all(container: ContainerProxy, failing: Any, status: int) -> None:
    await container.create_item(item(1, n=1))
    operations = [create(5), ("delete", ("1",)), ("upsert", (item(1, n=2),)), failing, create(6)]
    with pytest.raises(CosmosBatchOperationError) as failed:
        await container.execute_item_batch(operations, partition_key="a")
    assert failed.value.status_code == status
    assert failed.value.error_index == 3
    assert [answer["statusCode"] for answer in failed.value.operation_responses] == [424, 424, 424, status, 424]
    assert await ids(container) == ["1"]
    assert (await container.read_item("1", "a"))["n"] == 1


async def test_what_a_batch_undid_is_in_no_change_feed(container: ContainerProxy) -> None:
    with pytest.raises(CosmosBatchOperationError):
        await container.execute_item_batch([create(1), ("read", ("9",))], partition_key="a")
    await container.execute_item_batch([create(2), create(3)], partition_key="a")
    changes = [change async for change in container.query_items_change_feed(start_time="Beginning")]
    assert [(change["id"], change["_lsn"]) for change in changes] == [("2", 1), ("3", 1)]


async def test_an_operation_sees_what_the_ones_before_it_wrote(container: ContainerProxy) -> None:
    answers = await container.execute_item_batch([create(1), ("delete", ("1",)), create(1, n=2)], partition_key="a")
    assert [answer["statusCode"] for answer in answers] == [201, 204, 201]
    assert (await container.read_item("1", "a"))["n"] == 2


async def test_a_batch_has_at_most_a_hundred_operations(container: ContainerProxy) -> None:
    await container.execute_item_batch([create(n) for n in range(100)], partition_key="a")
    with pytest.raises(CosmosHttpResponseError) as refused:
        await container.execute_item_batch([create(n) for n in range(100, 201)], partition_key="a")
    assert refused.value.status_code == 400
    assert len(await ids(container)) == 100


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp's, above 1 MB
async def test_a_batch_holds_at_most_two_megabytes(container: ContainerProxy) -> None:
    with pytest.raises(CosmosHttpResponseError) as refused:
        await container.execute_item_batch([create(n, data="x" * 2**20) for n in range(2)], partition_key="a")
    assert refused.value.status_code == 413
    with pytest.raises(CosmosResourceNotFoundError):
        await container.read_item("0", "a")
