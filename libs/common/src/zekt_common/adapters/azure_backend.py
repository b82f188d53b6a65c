"""The distributed engine: Cosmos DB for events, views, keys and leases, Service Bus for messages, blobs for payloads.

A process has one client for each of the three, however many services it hosts.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from zekt_common.adapters.azure_connections import AzureConnections, connections
from zekt_common.adapters.azure_readiness import AzureReadiness, check_usable
from zekt_common.adapters.azure_settings import COSMOS_DATABASE, COSMOS_ENDPOINT, AzureSettings
from zekt_common.adapters.backend import Backend, Part, Share
from zekt_common.adapters.blob_container import BlobContainer
from zekt_common.adapters.blob_payloads import BlobPayloads
from zekt_common.adapters.cosmos_client import CosmosDatabase, open_cosmos
from zekt_common.adapters.cosmos_container import CosmosContainer
from zekt_common.adapters.cosmos_errors import FOUND_NOT, CosmosRefused
from zekt_common.adapters.cosmos_event_store import CosmosEventStore
from zekt_common.adapters.cosmos_keys import CosmosKeyRecords
from zekt_common.adapters.cosmos_leases import CosmosLeases
from zekt_common.adapters.cosmos_topology import KEYS, events_of, views_of
from zekt_common.adapters.cosmos_views import CosmosViews
from zekt_common.adapters.key_wrapping import MasterKey
from zekt_common.adapters.master_key import open_master_key
from zekt_common.adapters.master_key_settings import KEYVAULT_URL, MASTER_KEY_FILE, MasterKeySettings
from zekt_common.adapters.servicebus_bus import ServiceBusBus, open_servicebus_bus
from zekt_common.adapters.sharing import shared
from zekt_common.adapters.wrapped_keys import WrappedKeys
from zekt_common.clock import Clock, utc_now
from zekt_common.contracts.topology import SUBSCRIPTIONS, Subscription
from zekt_common.errors import BackendUnavailable

MASTER_KEY: Final = f"{KEYVAULT_URL}, or {MASTER_KEY_FILE}"
PROBE: Final = ("readiness", "probe")
NO_ACCOUNT: Final = 0


@dataclass(frozen=True)
class _Clients:
    """What the services of one process share."""

    connections: AzureConnections
    database: CosmosDatabase
    keys: CosmosDatabase
    bus: ServiceBusBus
    blobs: BlobContainer


@asynccontextmanager
async def open_azure_backend(
    settings: AzureSettings,
    master_key: MasterKeySettings,
    service: str,
    *,
    clock: Clock = utc_now,
    share: Share = "all",
) -> AsyncIterator[Backend]:
    """Open the service's ports, once every endpoint has answered and holds what provisioning creates.

    A process that only relays takes up no connection to receive, and one that leaves relaying to it none to publish.

    Raises:
        BackendUnavailable: an endpoint cannot be reached, refuses us or lacks something; it names the setting.
    """
    async with (
        shared((settings, clock), lambda: _open_clients(settings, clock)) as clients,
        open_master_key(master_key) as master,
    ):
        backend, parts = _compose(clients, master, service, clock)
        await asyncio.gather(
            clients.bus.open(_published_by(service, share), _consumed_by(service, share)),
            *(_check_container(clients.database, name) for name in (events_of(service), views_of(service))),
            _check_container(clients.keys, KEYS),
        )
        await check_usable(parts.values())
        yield backend


@asynccontextmanager
async def _open_clients(settings: AzureSettings, clock: Clock) -> AsyncIterator[_Clients]:
    async with AsyncExitStack() as stack:
        ways = await stack.enter_async_context(connections(settings))
        yield _Clients(
            connections=ways,
            database=await stack.enter_async_context(open_cosmos(ways.cosmos)),
            keys=await stack.enter_async_context(open_cosmos(ways.cosmos_keys)),
            bus=await stack.enter_async_context(open_servicebus_bus(ways.servicebus, clock=clock)),
            blobs=await stack.enter_async_context(BlobContainer(ways.blob)),
        )


def _compose(
    clients: _Clients, master: MasterKey, service: str, clock: Clock
) -> tuple[Backend, Mapping[Part, AzureReadiness]]:
    database = clients.database
    views = CosmosViews(database.container(views_of(service)))
    key_records = CosmosKeyRecords(clients.keys.container(KEYS))
    keys = WrappedKeys(key_records, master)
    payloads = BlobPayloads(clients.blobs, keys, clock=clock)
    ways = clients.connections
    parts = {
        Part.DATABASE: AzureReadiness({COSMOS_ENDPOINT: lambda: views.get(*PROBE)}),
        Part.BUS: AzureReadiness({ways.servicebus.setting: lambda: _check_bus(clients.bus)}),
        Part.PAYLOADS: AzureReadiness({ways.blob.setting: clients.blobs.check}),
        Part.KEYS: AzureReadiness(
            {clients.keys.setting: lambda: key_records.find(NO_ACCOUNT), MASTER_KEY: master.check}
        ),
    }
    backend = Backend(
        store=CosmosEventStore(database.container(events_of(service)), clock=clock),
        views=views,
        bus=clients.bus,
        payloads=payloads,
        keys=keys,
        leases=CosmosLeases(views),
        troubles={part: readiness.troubles for part, readiness in parts.items()},
        expiring={
            "payloads": payloads,
            "dead letters": clients.bus.dead_letter_retention(_consumed_by(service, "all")),
        },
    )
    return backend, parts


def _published_by(service: str, share: Share) -> set[str]:
    """Return the service's own topic, if anybody listens to it."""
    return {each.topic for each in SUBSCRIPTIONS if each.topic == service and share != "without relay"}


def _consumed_by(service: str, share: Share) -> list[Subscription]:
    return [each for each in SUBSCRIPTIONS if each.name == service and share != "relay"]


async def _check_bus(bus: ServiceBusBus) -> None:
    """Look whether the links in use work; a sender that failed when it was last used is tried again."""
    await bus.try_again()
    if bus.trouble is not None:
        raise BackendUnavailable(bus.trouble)


async def _check_container(database: CosmosDatabase, name: str) -> None:
    container: CosmosContainer = database.container(name)
    try:
        await container.ask("describe", lambda hook: container.proxy.read(response_hook=hook))
    except CosmosRefused as refused:
        if refused.status != FOUND_NOT:
            raise
        where = f"{COSMOS_DATABASE}: the database {database.proxy.id}"
        raise BackendUnavailable(f"{where} has no container {name}: run `zekt provision`") from None
