"""The process's connection to Cosmos DB: one client for each account and database, shared by all that use it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from azure.core.credentials_async import AsyncTokenCredential
from azure.cosmos.aio import CosmosClient, DatabaseProxy

from zekt_common.adapters.cosmos_container import CosmosContainer
from zekt_common.adapters.cosmos_errors import SETTING, translated
from zekt_common.adapters.sharing import shared

DATABASE: Final = "zekt"
CONNECTS_WITHIN_S: Final = 5
ANSWERS_WITHIN_S: Final = 20


@dataclass(frozen=True, kw_only=True)
class CosmosConnection:
    """The way to the database: an endpoint with its key, or with a credential that gives tokens for it.

    `ca_file` is trusted in place of the system's authorities; `setting` names the endpoint in errors.
    """

    endpoint: str
    database: str = DATABASE
    key: str = field(default="", repr=False)
    credential: AsyncTokenCredential | None = field(default=None, repr=False)
    ca_file: str | None = None
    setting: str = SETTING


class CosmosDatabase:
    """An open database."""

    def __init__(self, client: CosmosClient, proxy: DatabaseProxy, setting: str = SETTING) -> None:
        self.client = client
        self.proxy = proxy
        self.setting = setting
        self._containers: dict[str, CosmosContainer] = {}

    def container(self, name: str) -> CosmosContainer:
        """Return the container of this name; nothing is asked of the server yet."""
        if name not in self._containers:
            self._containers[name] = CosmosContainer(name, self.proxy.get_container_client(name), self.setting)
        return self._containers[name]


@asynccontextmanager
async def open_cosmos(connection: CosmosConnection) -> AsyncIterator[CosmosDatabase]:
    """Open the database, sharing the client with everybody in this loop who opened the same.

    Raises:
        BackendUnavailable: the account cannot be reached, or refuses us.
    """
    async with shared(connection, lambda: _opened(connection)) as client:
        yield CosmosDatabase(client, client.get_database_client(connection.database), connection.setting)


@asynccontextmanager
async def _opened(connection: CosmosConnection) -> AsyncIterator[CosmosClient]:
    trust: dict[str, Any] = {"connection_verify": connection.ca_file} if connection.ca_file else {}
    client = CosmosClient(
        connection.endpoint,
        connection.credential or connection.key,
        connection_timeout=CONNECTS_WITHIN_S,
        read_timeout=ANSWERS_WITHIN_S,
        **trust,
    )
    try:
        with translated("the account", connection.setting):
            await client.__aenter__()
        yield client
    finally:
        await client.close()
