"""The engine on Azure's services, over their stand-ins; what none of them does yet is on SQLite beside it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from libs.common.tests.azure.vault import VaultProcess, connected_to
from libs.common.tests.contracts.azure_as_set import open_as_set
from libs.common.tests.cosmos.account import SERVICE, open_provisioned, share_clock
from libs.common.tests.servicebus.standin import connection_to, namespace, serving_again

from tests.e2e.azure_account import AzureAccount
from tests.emulators.containers import WANTED
from zekt_common.adapters.backend import Backend
from zekt_common.adapters.blob_container import BlobConnection, BlobContainer
from zekt_common.adapters.blob_payloads import BlobPayloads
from zekt_common.adapters.cosmos_append_times import Timing
from zekt_common.adapters.cosmos_client import CosmosConnection
from zekt_common.adapters.cosmos_event_store import CosmosEventStore
from zekt_common.adapters.cosmos_keys import CosmosKeyRecords
from zekt_common.adapters.cosmos_leases import CosmosLeases
from zekt_common.adapters.cosmos_topology import KEYS, events_of, views_of
from zekt_common.adapters.cosmos_views import CosmosViews
from zekt_common.adapters.embedded import open_backend
from zekt_common.adapters.keyvault_master_key import open_vault_key
from zekt_common.adapters.master_key_file import FileMasterKey
from zekt_common.adapters.master_key_settings import DEFAULT_FILE
from zekt_common.adapters.servicebus_bus import open_servicebus_bus
from zekt_common.adapters.wrapped_keys import WrappedKeys
from zekt_common.clock import Clock, utc_now
from zekt_sandbox.azurite import Azurite
from zekt_sandbox.servicebus.namespace import Namespace

ANY_CLOCK = Timing(clock_off_s=timedelta(days=1000).total_seconds())
"""For the official emulator, whose clock cannot be turned."""
SUITES = {
    "test_event_store",
    "test_event_store_model",
    "test_views",
    "test_views_model",
    "test_keys",
    "test_leases",
}
VAULT_SUITES = {"test_keys"}
BLOB_SUITES = {"test_payloads"}
SURVIVAL_SUITES = {"test_survival", "test_replicas"}
BUS_SUITES = {"test_bus", "test_bus_settlement", "test_bus_model"}
LOOK_S = 0.2

_namespaces: dict[Path, Namespace] = {}


@asynccontextmanager
async def open_azure(account: CosmosConnection, directory: Path, clock: Clock) -> AsyncIterator[Backend]:
    """Open a database that belongs to the directory; the stand-in tells the same time as `clock`."""
    if not WANTED:
        share_clock(account, clock)
    connection = replace(account, database=_name(directory))
    async with open_backend(directory, SERVICE, clock=clock) as embedded, open_provisioned(connection) as database:
        views = CosmosViews(database.container(views_of(SERVICE)))
        yield replace(
            embedded,
            store=CosmosEventStore(
                database.container(events_of(SERVICE)), clock=clock, timing=ANY_CLOCK if WANTED else Timing()
            ),
            views=views,
            keys=WrappedKeys(CosmosKeyRecords(database.container(KEYS)), FileMasterKey(directory / DEFAULT_FILE)),
            leases=CosmosLeases(views),
        )


@asynccontextmanager
async def open_azure_with_vault(
    account: CosmosConnection, vault: VaultProcess, directory: Path, clock: Clock
) -> AsyncIterator[Backend]:
    """Open also the master key in Key Vault, which all directories share."""
    connection = replace(account, database=_name(directory))
    async with (
        open_azure(account, directory, clock) as backend,
        open_provisioned(connection) as database,
        connected_to(vault.port, vault.certificate) as way,
        open_vault_key(way) as master,
    ):
        yield replace(backend, keys=WrappedKeys(CosmosKeyRecords(database.container(KEYS)), master))


@asynccontextmanager
async def open_azure_with_blobs(
    account: CosmosConnection, azurite: Azurite, directory: Path, clock: Clock
) -> AsyncIterator[Backend]:
    """Open also a container that belongs to the directory."""
    blobs = BlobConnection(connection_string=azurite.connection_string)
    async with (
        open_azure(account, directory, clock) as backend,
        BlobContainer(blobs, name=_name(directory)) as container,
    ):
        await container.ensure()
        yield replace(backend, payloads=BlobPayloads(container, backend.keys, clock=clock))


@asynccontextmanager
async def open_azure_with_bus(directory: Path, clock: Clock) -> AsyncIterator[Backend]:
    """Open a namespace that belongs to the directory, beside SQLite; looks last until a busy machine has answered."""
    entities = _namespaces.setdefault(directory, namespace(clock))
    async with (
        open_backend(directory, SERVICE, clock=clock) as embedded,
        serving_again(entities) as sandbox,
        open_servicebus_bus(
            connection_to(sandbox), clock=clock, look_s=LOOK_S, monotonic=lambda: clock().timestamp()
        ) as bus,
    ):
        yield replace(embedded, bus=bus)


@dataclass(frozen=True)
class AzureProcesses:
    """The whole engine, with everything of Azure's in processes that outlive those that are killed on them."""

    account: AzureAccount

    def __call__(self, directory: Path, clock: Clock) -> AbstractAsyncContextManager[Backend]:
        """Open what `account` was last cleared for; Service Bus is as far ahead as `clock`."""
        del directory
        return self._opened(clock)

    @asynccontextmanager
    async def _opened(self, clock: Clock) -> AsyncIterator[Backend]:
        ahead_s = (clock() - utc_now()).total_seconds()
        if ahead_s > 1:
            await self.account.bus("POST", "/clock", seconds=ahead_s)
        async with open_as_set(self.account.settings, clock) as backend:
            yield backend


def _name(directory: Path) -> str:
    return f"zekt-{sha256(str(directory).encode()).hexdigest()[:16]}"
