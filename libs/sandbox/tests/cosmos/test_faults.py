import asyncio
import logging
import time
from typing import Any

import pytest
from azure.core.exceptions import AzureError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, DatabaseProxy
from azure.cosmos.exceptions import CosmosHttpResponseError, CosmosResourceExistsError

from zekt_sandbox.cosmos import CosmosSandbox, InvalidControlError
from zekt_sandbox.cosmos.calls import Operation

ITEM = {"id": "1", "stream": "a"}


@pytest.fixture(autouse=True)
def quiet_sdk() -> None:
    logging.getLogger("azure").setLevel(logging.CRITICAL)


async def ids(container: ContainerProxy) -> list[str]:
    return [found["id"] async for found in container.query_items("SELECT * FROM c", partition_key="a")]


async def refused_with(container: ContainerProxy) -> CosmosHttpResponseError:
    with pytest.raises(CosmosHttpResponseError) as refused:
        await container.create_item(ITEM)
    return refused.value


async def test_a_lost_answer_leaves_the_write_done(container: ContainerProxy, sandbox: CosmosSandbox) -> None:
    sandbox.faults.add("drop_after", operation="create")
    with pytest.raises(CosmosResourceExistsError):
        await container.create_item(ITEM)  # the SDK tries again by itself, and meets its own write
    assert sandbox.requests[Operation.CREATE] == 2
    assert await ids(container) == ["1"]


async def test_a_connection_dropped_before_leaves_the_write_undone(
    container: ContainerProxy, sandbox: CosmosSandbox
) -> None:
    sandbox.faults.add("drop_before", operation="create", count=None)
    with pytest.raises(AzureError):
        await container.create_item(ITEM)
    sandbox.faults.clear()
    assert await ids(container) == []


async def test_throttling_says_when_to_come_back(container: ContainerProxy, sandbox: CosmosSandbox) -> None:
    sandbox.faults.add("error", operation="create", status=429, retry_after_ms=20, count=3)
    started = time.monotonic()
    await container.create_item(ITEM)
    assert time.monotonic() - started >= 0.06
    assert sandbox.requests[Operation.CREATE] == 4
    fault = sandbox.faults.add("error", operation="create", status=429, retry_after_ms=1, count=None)
    refused = await refused_with(container)
    assert (refused.status_code, refused.sub_status) == (429, 3200)
    assert fault.taken == 10


@pytest.mark.parametrize("status", [449, 408, 500])
async def test_an_error_comes_instead_of_the_write(
    container: ContainerProxy, sandbox: CosmosSandbox, status: int
) -> None:
    sandbox.faults.add("error", operation="create", status=status, count=None)
    assert (await refused_with(container)).status_code == status
    sandbox.faults.clear()
    assert await ids(container) == []


async def test_unavailability_is_the_default_error(container: ContainerProxy, sandbox: CosmosSandbox) -> None:
    sandbox.faults.add("error", operation="writes", count=None)
    assert (await refused_with(container)).status_code == 503


async def test_an_error_can_come_after_the_write(container: ContainerProxy, sandbox: CosmosSandbox) -> None:
    sandbox.faults.add("error_after", operation="create", status=449, substatus=5350)
    refused = await refused_with(container)
    assert (refused.status_code, refused.sub_status) == (449, 5350)
    assert await ids(container) == ["1"]


async def test_a_slow_answer_is_a_right_one(container: ContainerProxy, sandbox: CosmosSandbox) -> None:
    sandbox.faults.add("slow", operation="read", delay_s=0.1)
    await container.create_item(ITEM)
    started = time.monotonic()
    assert (await container.read_item("1", "a"))["id"] == "1"
    assert time.monotonic() - started >= 0.1


async def test_a_fault_strikes_only_what_it_is_aimed_at(
    database: DatabaseProxy, container: ContainerProxy, sandbox: CosmosSandbox
) -> None:
    other = await database.create_container("other", PartitionKey("/stream"))
    sandbox.faults.add("error", operation="writes", container="other", status=449, count=None)
    await container.create_item(ITEM)
    with pytest.raises(CosmosHttpResponseError):
        await other.create_item(ITEM)
    with pytest.raises(CosmosHttpResponseError):
        await other.execute_item_batch([("create", (ITEM,))], partition_key="a")
    assert await ids(other) == []


async def test_a_fault_ends_after_its_count(container: ContainerProxy, sandbox: CosmosSandbox) -> None:
    fault = sandbox.faults.add("error", operation="create", status=449, count=2)
    for _ in range(2):
        await refused_with(container)
    await container.create_item(ITEM)
    assert fault.taken == 2


async def test_the_same_seed_strikes_the_same_calls(container: ContainerProxy, sandbox: CosmosSandbox) -> None:
    async def struck(seed: int) -> list[int]:
        sandbox.faults.clear()
        fault = sandbox.faults.add("error", operation="upsert", status=449, probability=0.5, seed=seed, count=None)
        calls = []
        for number in range(40):
            before = fault.taken
            await asyncio.gather(container.upsert_item(ITEM), return_exceptions=True)
            calls += [number] * (fault.taken - before)
        return calls

    first = await struck(1)
    assert 5 < len(first) < 35
    assert await struck(1) == first
    assert await struck(2) != first


async def test_an_outage_cuts_everyone_off_until_it_is_called_off(
    container: ContainerProxy, sandbox: CosmosSandbox
) -> None:
    sandbox.faults.begin_outage(600)
    with pytest.raises(AzureError):
        await container.create_item(ITEM)
    sandbox.faults.clear()
    await container.create_item(ITEM)


async def test_an_outage_ends_by_itself(container: ContainerProxy, sandbox: CosmosSandbox) -> None:
    sandbox.faults.begin_outage(0.2)
    async with asyncio.timeout(60):
        [first] = await asyncio.gather(container.upsert_item(ITEM), return_exceptions=True)
        while isinstance(first, AzureError):
            [first] = await asyncio.gather(container.upsert_item(ITEM), return_exceptions=True)
    assert not sandbox.faults.is_out
    assert await ids(container) == ["1"]


async def test_racing_writers_with_lost_answers_leave_no_gap(container: ContainerProxy, sandbox: CosmosSandbox) -> None:
    sandbox.faults.add("drop_after", operation="batch", probability=0.3, seed=3, count=None)

    async def write(name: str) -> None:
        for turn in range(4):
            version = len(await ids(container))
            while not await appended(version, f"{name}-{turn}"):
                version = len(await ids(container))

    async def appended(version: int, mark: str) -> bool:
        number = f"{version + 1:04}"
        guard = [("read", (f"{version:04}",))] if version else []
        create: Any = ("create", ({"id": number, "stream": "a", "mark": mark},))
        try:
            await container.execute_item_batch([*guard, create], partition_key="a")
        except AzureError:
            pass
        else:
            return True
        if number not in await ids(container):
            return False
        return bool((await container.read_item(number, "a"))["mark"] == mark)

    await asyncio.gather(*(write(f"w{number}") for number in range(5)))
    items = [item async for item in container.query_items("SELECT * FROM c ORDER BY c.id", partition_key="a")]
    assert [item["id"] for item in items] == [f"{number:04}" for number in range(1, 21)]
    assert len({item["mark"] for item in items}) == 20


@pytest.mark.parametrize(
    ("kind", "options"),
    [("explode", {}), ("error", {"operation": "juggle"}), ("error", {"loud": True}), ("error", {"taken": 1})],
)
def test_an_unknown_fault_is_refused(sandbox: CosmosSandbox, kind: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidControlError, match="a fault"):
        sandbox.faults.add(kind, **options)
    assert sandbox.faults.active == []
