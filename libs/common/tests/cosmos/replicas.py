"""Relays that share a store as machines do."""

from contextlib import AsyncExitStack

from libs.common.tests.cosmos.account import SERVICE, open_provisioned

from zekt_common.adapters.cosmos_client import CosmosConnection
from zekt_common.adapters.cosmos_event_store import CosmosEventStore
from zekt_common.adapters.cosmos_leases import CosmosLeases
from zekt_common.adapters.cosmos_topology import events_of, views_of
from zekt_common.adapters.cosmos_views import CosmosViews
from zekt_common.kit.relay import Relay
from zekt_common.ports import Bus, OutgoingMessage


async def replica(stack: AsyncExitStack, connection: CosmosConnection, bus: Bus) -> Relay:
    """Return a relay as another machine has it: nothing of it is shared but the account and the bus."""
    database = await stack.enter_async_context(open_provisioned(connection))
    views = CosmosViews(database.container(views_of(SERVICE)))
    store = CosmosEventStore(database.container(events_of(SERVICE)))
    leases = CosmosLeases(views, good_for_s=20.0)
    return Relay(store, bus, views, leases, topic=SERVICE, translate=lambda event: [OutgoingMessage(envelope=event)])
