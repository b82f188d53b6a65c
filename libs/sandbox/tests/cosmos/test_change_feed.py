import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError

from zekt_sandbox.cosmos import CosmosSandbox

STREAMS = [f"stream-{number}" for number in range(12)]
Change = tuple[str, int, int]


async def changes(container: ContainerProxy, **options: Any) -> tuple[list[Change], str]:
    """One pass to the feed's end: (stream, n, _lsn) of each change, and the continuation."""
    pages: Any = container.query_items_change_feed(**options).by_page()
    found = [(item["stream"], item["n"], item["_lsn"]) async for page in pages async for item in page]
    return found, str(pages.continuation_token)


async def first_page(container: ContainerProxy, **options: Any) -> tuple[list[Change], str]:
    pages: Any = container.query_items_change_feed(**options).by_page()
    async for page in pages:
        return [(item["stream"], item["n"], item["_lsn"]) async for item in page], str(pages.continuation_token)
    raise AssertionError("the feed is empty")


async def feed_ranges(container: ContainerProxy) -> list[dict[str, Any]]:
    return [found async for found in container.read_feed_ranges(force_refresh=True)]


async def test_each_range_feeds_its_own_changes_in_commit_order(container: ContainerProxy, fill: Any) -> None:
    await fill(*STREAMS, count=2)
    await fill(*[f"more-{number}" for number in range(12)], count=1)
    seen: list[Change] = []
    for feed_range in await feed_ranges(container):
        found, _ = await changes(container, feed_range=feed_range, start_time="Beginning")
        numbers = [lsn for _, _, lsn in found]
        assert found
        assert numbers == sorted(numbers)
        seen += found
    assert len(seen) == len(set(seen)) == 36


async def test_a_page_has_the_size_asked_for_but_splits_no_batch(container: ContainerProxy, fill: Any) -> None:
    await fill("a", count=5)
    for n in range(6, 10):
        await container.create_item({"id": f"{n}", "stream": "a", "n": n})
    pages = container.query_items_change_feed(partition_key="a", start_time="Beginning", max_item_count=3).by_page()
    assert [[item["n"] async for item in page] async for page in pages] == [[1, 2, 3, 4, 5], [6, 7, 8], [9]]


async def test_a_continuation_outlives_the_client_that_got_it(
    container: ContainerProxy, fill: Any, sandbox: CosmosSandbox
) -> None:
    await fill("a", count=3)
    _, continuation = await changes(container, partition_key="a", start_time="Beginning")
    await container.create_item({"id": "4", "stream": "a", "n": 4})
    async with CosmosClient(sandbox.url, credential=sandbox.key) as other:
        elsewhere = other.get_database_client("zekt").get_container_client("events")
        found, continuation = await changes(elsewhere, continuation=continuation)
        assert [n for _, n, _ in found] == [4]
        assert (await changes(elsewhere, continuation=continuation))[0] == []


async def test_only_the_latest_version_of_an_item_is_fed(container: ContainerProxy, fill: Any) -> None:
    await fill("a", count=3)
    await container.replace_item("1", {"id": "1", "stream": "a", "n": 10})
    await container.delete_item("2", "a")
    found, _ = await changes(container, partition_key="a", start_time="Beginning")
    assert [n for _, n, _ in found] == [3, 10]


async def test_a_feed_stays_short_however_often_an_item_changes(container: ContainerProxy) -> None:
    for turn in range(30):
        writes = [("upsert", ({"id": f"{n}", "stream": "a", "n": turn},)) for n in range(100)]
        await container.execute_item_batch(writes, partition_key="a")
    found, _ = await changes(container, partition_key="a", start_time="Beginning")
    assert [n for _, n, _ in found] == [29] * 100


async def test_a_feed_can_start_now(container: ContainerProxy, fill: Any) -> None:
    await fill("a", count=3)
    assert (await changes(container, partition_key="a", start_time="Now"))[0] == []
    # Before the first change the SDK hands a continuation out in the answer's headers only.
    continuation = container.client_connection.last_response_headers["etag"]
    await container.create_item({"id": "4", "stream": "a", "n": 4})
    found, _ = await changes(container, continuation=continuation)
    assert [n for _, n, _ in found] == [4]


async def test_a_feed_can_start_at_a_time(container: ContainerProxy, fill: Any, sandbox: CosmosSandbox) -> None:
    await fill("a", count=3)
    sandbox.clock.advance(3600)
    await container.create_item({"id": "4", "stream": "a", "n": 4})
    found, _ = await changes(container, partition_key="a", start_time=datetime.now(UTC) + timedelta(minutes=30))
    assert [n for _, n, _ in found] == [4]


@pytest.mark.parametrize("splits", [1, 3])
async def test_checkpoints_taken_before_a_split_lose_and_repeat_nothing(
    container: ContainerProxy, fill: Any, sandbox: CosmosSandbox, splits: int
) -> None:
    await fill(*STREAMS, count=3)
    seen: list[Change] = []
    checkpoints = []
    for feed_range in await feed_ranges(container):
        found, checkpoint = await first_page(container, feed_range=feed_range, start_time="Beginning", max_item_count=2)
        seen += found
        checkpoints.append(checkpoint)
    assert len(seen) < 36
    for _ in range(splits):
        sandbox.split("zekt", "events")
    await fill("late-1", "late-2", "late-3", count=1)
    for checkpoint in checkpoints:
        found, _ = await changes(container, continuation=checkpoint, max_item_count=2)
        seen += found
    assert len(await feed_ranges(container)) == 3 + splits
    assert len(seen) == len({(stream, n) for stream, n, _ in seen}) == 39
    for stream in STREAMS:
        assert [n for of, n, _ in seen if of == stream] == [1, 2, 3]


async def test_a_feed_range_from_before_a_split_can_still_be_read(
    container: ContainerProxy, fill: Any, sandbox: CosmosSandbox
) -> None:
    await fill(*STREAMS, count=1)
    [whole, *_] = before = await feed_ranges(container)
    found, _ = await changes(container, feed_range=whole, start_time="Beginning")
    sandbox.split("zekt", "events", "0")
    again, _ = await changes(container, feed_range=whole, start_time="Beginning")
    assert sorted(again) == sorted(found)
    assert json.dumps(whole) not in map(json.dumps, await feed_ranges(container))
    assert len(before) == 3


async def test_all_versions_and_deletes_are_not_offered(container: ContainerProxy) -> None:
    with pytest.raises(CosmosHttpResponseError, match="all versions and deletes") as refused:
        await changes(container, mode="AllVersionsAndDeletes")
    assert refused.value.status_code == 400
