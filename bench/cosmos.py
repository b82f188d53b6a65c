"""The event store on Cosmos DB beside the bare SDK: appends of 20 events, and pages of the change feed.

Both sides run in this process over the stand-in, a process of its own, in alternating rounds of one run; the medians
are compared. An append is `EventStore.append` of 20 events of about 900 bytes to a stream of its own, against
`execute_item_batch` with 20 creates of the very items that the store would make, made beforehand. Page reads are
`read_feed` of 1,000 events at a time, decoded to envelopes, against the SDK's change feed of the same range, whose
items are left as the SDK parsed them.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

from azure.cosmos import PartitionKey

from zekt_common.adapters.cosmos_client import CosmosConnection, CosmosDatabase, open_cosmos
from zekt_common.adapters.cosmos_container import CosmosContainer
from zekt_common.adapters.cosmos_event_store import CosmosEventStore, event_item
from zekt_common.adapters.cosmos_topology import ContainerDefinition, definitions, events_of
from zekt_common.envelope import Event, NewEvent, seal

EVENTS = 20
APPENDS = 60
ROUNDS = 7
PAGE = 1000
SERVICE = "router"

Round = Callable[[int], Awaitable[float]]


class Routed(Event, frozen=True, kw_only=True):
    """An event of the size of a run's routing."""

    TYPE: ClassVar[str] = "dev.zekt.bench.routed"

    text: str


def batch(stream: str) -> list[NewEvent]:
    """Return 20 events for one append."""
    body = Routed(text="x" * 500)
    event = NewEvent(body=body, source="zekt/bench", subject=stream, correlationid=stream, causationid="bench")
    return [event] * EVENTS


def creates(stream: str) -> list[tuple[str, tuple[Any, ...]]]:
    """Return the operations of the same append, as the SDK takes them."""
    now = datetime.now(UTC)
    envelopes = [
        seal(each, stream=stream, version=n, commitid="c", time=now) for n, each in enumerate(batch(stream), 1)
    ]
    return [("create", (event_item(envelope),)) for envelope in envelopes]


def appending(store: CosmosEventStore) -> Round:
    """Return a round of appends through the port: milliseconds for each."""

    async def run(round_: int) -> float:
        batches = {f"port/{round_}/{n}": batch(f"port/{round_}/{n}") for n in range(APPENDS)}
        began = time.perf_counter()
        for stream, events in batches.items():
            await store.append(stream, events, expected_version=0)
        return (time.perf_counter() - began) * 1000 / APPENDS

    return run


def batching(container: CosmosContainer) -> Round:
    """Return a round of bare batches: milliseconds for each."""

    async def run(round_: int) -> float:
        batches = {f"bare/{round_}/{n}": creates(f"bare/{round_}/{n}") for n in range(APPENDS)}
        began = time.perf_counter()
        for stream, operations in batches.items():
            await container.proxy.execute_item_batch(operations, stream)
        return (time.perf_counter() - began) * 1000 / APPENDS

    return run


def reading(store: CosmosEventStore) -> Round:
    """Return a round of page reads through the port: decoded events a second."""

    async def run(_: int) -> float:
        began, count, cursor = time.perf_counter(), 0, ""
        while events := (page := await store.read_feed("0", cursor, PAGE)).events:
            count, cursor = count + len(events), page.cursor
        return count / (time.perf_counter() - began)

    return run


def paging(container: CosmosContainer) -> Round:
    """Return a round of the SDK's own change feed: items a second."""

    async def run(_: int) -> float:
        began, count = time.perf_counter(), 0
        changes = container.proxy.query_items_change_feed(start_time="Beginning", max_item_count=PAGE)
        async for _change in changes:
            count += 1
        return count / (time.perf_counter() - began)

    return run


async def alternate(sides: Mapping[str, Round]) -> dict[str, float]:
    """Run each side's rounds in turn and return the medians; the first round warms up and does not count."""
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(ROUNDS + 1):
        for name, run in sides.items():
            figure = await run(round_)
            if round_:
                figures[name].append(figure)
    return {name: statistics.median(each) for name, each in figures.items()}


@contextmanager
def account() -> Iterator[CosmosConnection]:
    """Run the stand-in."""
    command = [sys.executable, "-m", "zekt_sandbox.cosmos", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            ready = json.loads(process.stdout.readline())
            yield CosmosConnection(endpoint=ready["url"], key=ready["key"])
        finally:
            process.terminate()


@asynccontextmanager
async def provisioned(
    connection: CosmosConnection, needed: Sequence[ContainerDefinition]
) -> AsyncIterator[CosmosDatabase]:
    """Open a database with these containers."""
    async with open_cosmos(connection) as database:
        await database.client.create_database(connection.database)
        for each in needed:
            await database.proxy.create_container(
                each.name, PartitionKey(each.partition_key), indexing_policy=each.indexing_policy
            )
        yield database


async def compare() -> dict[str, Any]:
    """Return milliseconds for each append and rates of page reads, of both sides."""
    with account() as connection:
        async with provisioned(connection, definitions((SERVICE,))) as database:
            container = database.container(events_of(SERVICE))
            store = CosmosEventStore(container)
            appends = await alternate({"port": appending(store), "bare": batching(container)})
            reads = await alternate({"port": reading(store), "bare": paging(container)})
    return {
        "append ms": appends["port"],
        "bare append ms": appends["bare"],
        "append ratio": appends["port"] / appends["bare"],
        "decoded events/s": reads["port"],
        "bare items/s": reads["bare"],
    }


def run() -> dict[str, Any]:
    """Return the figures."""
    return asyncio.run(compare())


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:>22} {value:10,.2f}")
