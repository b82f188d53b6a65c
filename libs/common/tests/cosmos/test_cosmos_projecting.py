"""What it costs to bring views up to date on Cosmos DB, counted in requests at the stand-in."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from zekt_common.adapters.cosmos_event_store import CosmosEventStore
from zekt_common.adapters.cosmos_views import CosmosViews
from zekt_common.envelope import Envelope, NewEvent
from zekt_common.kit.projector import Projector
from zekt_common.ports import Put, Remove
from zekt_sandbox.cosmos import CosmosSandbox
from zekt_sandbox.cosmos.calls import Operation

STREAMS = 150
LISTS = 4
FEEDS = 3
WITHIN_S = 60


def fold(envelope: Envelope) -> Sequence[Put | Remove]:
    """List each stream under its version, a document of each stream beside that, and take it off the list before."""
    listed = Put(partition=f"list/{envelope.version}", id=envelope.stream, body=b"{}")
    unlisted = Remove(partition=f"list/{envelope.version - 1}", id=envelope.stream)
    return [unlisted, listed, Put(partition="streams", id=envelope.stream, body=b"%d" % envelope.version)]


@pytest.fixture
async def stored(store: CosmosEventStore, note: Callable[..., NewEvent]) -> None:
    """Many short streams, whose documents have all moved on several times."""
    events = [note(str(n)) for n in range(LISTS)]
    await asyncio.gather(*(store.append(f"thing/{n}", events, expected_version=0) for n in range(STREAMS)))


async def catch_up(store: CosmosEventStore, views: CosmosViews) -> None:
    projector = Projector(store, views, name="things", project=fold)
    running = asyncio.create_task(projector.run())
    async with asyncio.timeout(WITHIN_S):
        await projector.caught_up.wait()
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.usefixtures("stored")
async def test_catching_up_asks_for_partitions_not_for_events(
    store: CosmosEventStore, views: CosmosViews, account: CosmosSandbox
) -> None:
    before = account.requests.copy()
    await catch_up(store, views)
    asked = account.requests - before
    assert [len(await views.listing(f"list/{n}", limit=1000)) for n in range(LISTS + 1)] == [0, 0, 0, 0, STREAMS]
    assert {document.body for document in await views.listing("streams", limit=1000)} == {b"%d" % LISTS}
    partitions = LISTS + 2
    assert asked[Operation.BATCH] <= FEEDS * partitions, "a batch for each partition that a feed's events concern"
    assert asked[Operation.QUERY] <= FEEDS * partitions, "one look for what is to be removed"
    assert asked.total() <= FEEDS * (2 * partitions + 8)


async def test_removing_much_that_is_not_there_looks_once(views: CosmosViews, account: CosmosSandbox) -> None:
    await views.write([Put(partition="p", id="50", body=b"{}")])
    before = account.requests.copy()
    await views.write([Remove(partition="p", id=str(n)) for n in range(90)])
    asked = account.requests - before
    assert await views.get("p", "50") is None
    assert (asked[Operation.QUERY], asked[Operation.BATCH], asked[Operation.READ]) == (1, 1, 0)
