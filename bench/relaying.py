"""The relay's two ends: what it takes from Cosmos DB, and what it takes from there to Service Bus.

In each round 3,000 events of about 900 bytes lie in the store. The store leg reads them in pages of 1,000, decoded, and
saves a checkpoint after each, as a relay does while it is behind; the whole relay also publishes each as a message.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable

from bench.cosmos import EVENTS, account, batch, provisioned
from zekt_common.adapters.cosmos_event_store import CosmosEventStore
from zekt_common.adapters.cosmos_leases import CosmosLeases
from zekt_common.adapters.cosmos_topology import definitions, events_of, views_of
from zekt_common.adapters.cosmos_views import CosmosViews
from zekt_common.envelope import Envelope
from zekt_common.kit.checkpoints import Checkpoint, CheckpointDocument
from zekt_common.kit.relay import PAGE, Relay
from zekt_common.ports import Bus, OutgoingMessage

SERVICE = "router"
STREAMS = 150
ROUNDS = 5
LOOKS_EVERY_S = 0.005


async def rates(bus: Bus) -> dict[str, float]:
    """Return the medians of both, in events a second."""
    with account() as connection:
        async with provisioned(connection, definitions((SERVICE,))) as database:
            store = CosmosEventStore(database.container(events_of(SERVICE)))
            views = CosmosViews(database.container(views_of(SERVICE)))
            relay = Relay(store, bus, views, CosmosLeases(views), topic=SERVICE, translate=_addressed)
            legs, whole = [], []
            for round_ in range(ROUNDS):
                stored = await _store(store, round_)
                legs.append(stored / await _timed(_read_what_is_new(store, views)))
                whole.append(stored / await _timed(_publish(relay, relay.published + stored)))
    return {"relay's store leg": statistics.median(legs), "whole relay": statistics.median(whole)}


def _addressed(envelope: Envelope) -> list[OutgoingMessage]:
    return [OutgoingMessage(envelope=envelope, to="dispatcher")]


async def _store(store: CosmosEventStore, round_: int) -> int:
    """Append a round's events and return their number."""
    for number in range(STREAMS):
        await store.append(f"{round_}/{number}", batch(f"{round_}/{number}"), expected_version=0)
    return STREAMS * EVENTS


async def _read_what_is_new(store: CosmosEventStore, views: CosmosViews) -> None:
    [feed] = await store.feeds()
    document = CheckpointDocument(views, "bench")
    at = await document.load()
    while (page := await store.read_feed(feed, at.cursor, PAGE)).events:
        at = Checkpoint(page.cursor, page.through)
        await document.save(at)


async def _publish(relay: Relay, until: int) -> None:
    """Run the relay until it has published so many; it saves how far it has come on its way out."""
    running = asyncio.create_task(relay.run())
    while relay.published < until:  # noqa: ASYNC110 - a relay tells nobody
        await asyncio.sleep(LOOKS_EVERY_S)
    running.cancel()
    await asyncio.wait([running])


async def _timed(work: Awaitable[None]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began
