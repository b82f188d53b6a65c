import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError, CosmosResourceNotFoundError

from zekt_sandbox.cosmos import CosmosSandbox

ITEM = {"id": "1", "stream": "a"}


class Controls:
    """The fault switches over HTTP: (status, JSON) of each call."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def call(self, method: str, path: str = "", **body: Any) -> tuple[int, Any]:
        async with self._session.request(method, f"{self._url}/_faults{path}", json=body or None) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def controls(sandbox: CosmosSandbox) -> AsyncIterator[Controls]:
    async with aiohttp.ClientSession() as session:
        yield Controls(session, sandbox.url)


async def test_faults_are_added_shown_and_cleared(container: ContainerProxy, controls: Controls) -> None:
    status, added = await controls.call("POST", kind="error", operation="create", status=449, count=2)
    assert status == 200
    with pytest.raises(CosmosHttpResponseError):
        await container.create_item(ITEM)
    _, shown = await controls.call("GET")
    assert shown["faults"] == [{**added, "taken": 1}]
    assert shown["requests"]["create"] == 1
    await controls.call("DELETE")
    await container.create_item(ITEM)
    assert (await controls.call("GET"))[1]["faults"] == []


async def test_a_container_is_split_at_once(container: ContainerProxy, controls: Controls) -> None:
    assert await controls.call("POST", "/split", database="zekt", container="events") == (200, {"ranges": ["3", "4"]})
    assert await controls.call("POST", "/split", database="zekt", container="events", range="4") == (
        200,
        {"ranges": ["5", "6"]},
    )
    assert len([found async for found in container.read_feed_ranges(force_refresh=True)]) == 5


async def test_the_clock_is_moved(client: CosmosClient, controls: Controls) -> None:
    database = await client.create_database("zekt")
    container = await database.create_container("views", PartitionKey("/stream"), default_ttl=60)
    await container.create_item(ITEM)
    await controls.call("POST", "/clock", seconds=61)
    with pytest.raises(CosmosResourceNotFoundError):
        await container.read_item("1", "a")


async def test_write_regions_are_set(sandbox: CosmosSandbox, controls: Controls) -> None:
    await controls.call("PUT", "/write_regions", regions=["One", "Two"])
    assert sandbox.write_regions == ("One", "Two")


async def test_an_outage_leaves_the_controls_open(sandbox: CosmosSandbox, controls: Controls) -> None:
    await controls.call("POST", "/outage", seconds=30)
    assert sandbox.faults.is_out
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(sandbox.url)
    await controls.call("DELETE")
    assert not sandbox.faults.is_out


@pytest.mark.usefixtures("container")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", {"kind": "explode"}),
        ("", {"operation": "create"}),
        ("/split", {"database": "zekt", "container": "none"}),
        ("/split", {"database": "zekt", "container": "events", "range": "99"}),
        ("/split", {}),
        ("/outage", {"seconds": "soon"}),
        ("/clock", {}),
    ],
)
async def test_a_control_that_makes_no_sense_is_refused(controls: Controls, path: str, body: dict[str, Any]) -> None:
    status, answer = await controls.call("POST", path, **body)
    assert (status, answer["error"]) == (400, "invalid")


async def test_an_unknown_control_is_not_found(controls: Controls) -> None:
    assert (await controls.call("POST", "/explode"))[0] == 404


async def test_the_clock_is_held_moved_and_let_go(sandbox: CosmosSandbox, controls: Controls) -> None:
    await controls.call("PUT", "/clock", at=1_800_000_000)
    assert sandbox.clock.now() == 1_800_000_000
    await controls.call("POST", "/clock", seconds=60)
    assert sandbox.clock.now() == 1_800_000_060
    await controls.call("PUT", "/clock", at=None)
    assert sandbox.clock.now() == pytest.approx(time.time(), abs=60)
