"""The ways to Azure's three services: by their keys, or by this process's Entra ID identity."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from azure.core.credentials_async import AsyncTokenCredential
from azure.identity.aio import DefaultAzureCredential

from zekt_common.adapters.azure_settings import COSMOS_KEYS_ENDPOINT, AzureSettings
from zekt_common.adapters.blob_container import BlobConnection
from zekt_common.adapters.cosmos_client import CosmosConnection
from zekt_common.adapters.servicebus_connection import ServiceBusConnection


@dataclass(frozen=True, kw_only=True)
class AzureConnections:
    """One connection for each service; none is open yet. The data keys may lie in an account of their own."""

    servicebus: ServiceBusConnection
    cosmos: CosmosConnection
    cosmos_keys: CosmosConnection
    blob: BlobConnection


@asynccontextmanager
async def connections(settings: AzureSettings) -> AsyncIterator[AzureConnections]:
    """Enter with the connections; those without a key share one `DefaultAzureCredential`, closed at the end.

    In a cluster that is the workload's identity; on a developer's machine it is whoever signed in with Azure's CLI.
    """
    if settings.needs_identity:
        async with DefaultAzureCredential() as credential:
            yield connected(settings, credential)
    else:
        yield connected(settings, None)


def connected(settings: AzureSettings, credential: AsyncTokenCredential | None) -> AzureConnections:
    """Return the connections; the credential is for the services that have no key of their own."""
    cosmos = CosmosConnection(
        endpoint=settings.cosmos_endpoint,
        database=settings.cosmos_database,
        key=settings.cosmos_key,
        credential=None if settings.cosmos_key else credential,
    )
    return AzureConnections(
        servicebus=ServiceBusConnection(
            connection_string=settings.servicebus_connection,
            namespace=settings.servicebus_namespace,
            credential=None if settings.servicebus_connection else credential,
        ),
        cosmos=cosmos,
        cosmos_keys=_keys_apart(settings, credential) if settings.cosmos_keys_endpoint else cosmos,
        blob=BlobConnection(
            connection_string=settings.blob_connection,
            url=settings.blob_url,
            credential=None if settings.blob_connection else credential,
        ),
    )


def _keys_apart(settings: AzureSettings, credential: AsyncTokenCredential | None) -> CosmosConnection:
    return CosmosConnection(
        endpoint=settings.cosmos_keys_endpoint,
        database=settings.cosmos_database,
        key=settings.cosmos_keys_key,
        credential=None if settings.cosmos_keys_key else credential,
        setting=COSMOS_KEYS_ENDPOINT,
    )
