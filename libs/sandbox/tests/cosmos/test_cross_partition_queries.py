from typing import Any

import pytest
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import CosmosHttpResponseError

from zekt_sandbox.cosmos import CosmosSandbox
from zekt_sandbox.cosmos.calls import Operation

STREAMS = [f"stream-{number}" for number in range(12)]


@pytest.fixture
async def filled(container: ContainerProxy, fill: Any) -> ContainerProxy:
    await fill(*STREAMS, count=3)
    return container


async def rows(container: ContainerProxy, query: str, **options: Any) -> list[Any]:
    return [row async for row in container.query_items(query, **options)]


async def test_items_are_spread_over_the_key_ranges(filled: ContainerProxy) -> None:
    ranges = [held async for held in filled.read_feed_ranges()]
    counts = [len(await rows(filled, "SELECT * FROM c", feed_range=held)) for held in ranges]
    assert len(counts) == 3
    assert all(counts)
    assert sum(counts) == 36


async def test_sorted_rows_of_several_ranges_are_merged_by_the_sdk(
    filled: ContainerProxy, sandbox: CosmosSandbox
) -> None:
    found = await rows(filled, "SELECT * FROM c WHERE c.n < 3 ORDER BY c.n DESC", max_item_count=5)
    assert [item["n"] for item in found] == [2] * 12 + [1] * 12
    assert sandbox.requests[Operation.QUERY_PLAN] == 1


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT VALUE COUNT(1) FROM c", [36]),
        ("SELECT VALUE MAX(c.n) FROM c WHERE c.n < 3", [2]),
        ("SELECT VALUE MIN(c.n) FROM c", [1]),
        ("SELECT VALUE SUM(c.n) FROM c", [72]),
        ("SELECT TOP 2 VALUE c.n FROM c ORDER BY c.n DESC", [3, 3]),
        ("SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 11 LIMIT 2", [1, 2]),
    ],
)
async def test_totals_and_slices_cover_all_ranges(filled: ContainerProxy, query: str, expected: list[int]) -> None:
    assert await rows(filled, query) == expected


async def test_an_unsorted_slice_has_its_length(filled: ContainerProxy) -> None:
    assert len(await rows(filled, "SELECT c.id, c.n FROM c OFFSET 3 LIMIT 10")) == 10
    assert len(await rows(filled, "SELECT TOP 5 * FROM c")) == 5


async def test_several_aggregates_over_several_ranges_are_refused(filled: ContainerProxy) -> None:
    with pytest.raises(CosmosHttpResponseError, match="one SELECT VALUE"):
        await rows(filled, "SELECT COUNT(1) AS a, MAX(c.n) AS b FROM c")


async def test_all_items_can_be_read(filled: ContainerProxy) -> None:
    assert len([item async for item in filled.read_all_items(max_item_count=7)]) == 36


async def test_a_client_that_knows_the_ranges_before_a_split_finds_all(
    filled: ContainerProxy, sandbox: CosmosSandbox
) -> None:
    assert await rows(filled, "SELECT VALUE COUNT(1) FROM c") == [36]
    sandbox.split("zekt", "events")
    found = await rows(filled, "SELECT * FROM c ORDER BY c.n")
    assert [item["n"] for item in found] == [1] * 12 + [2] * 12 + [3] * 12


@pytest.mark.parametrize("key", [*("k" * length for length in range(0, 50, 7)), "ünï/日本", 7, -2.5, True, False, None])
async def test_the_stand_in_and_the_sdk_agree_on_where_a_partition_key_falls(filled: ContainerProxy, key: Any) -> None:
    await filled.create_item({"id": "here", "stream": key, "n": 9})
    place = await filled.feed_range_from_partition_key(key)
    assert await rows(filled, "SELECT VALUE c.stream FROM c WHERE c.n = 9", feed_range=place) == [key]
