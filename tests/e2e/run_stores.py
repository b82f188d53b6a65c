"""What a run of the suite has stored, whichever engine it was on: as it lies there, and as accounts read it."""

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import msgspec
from azure.cosmos import CosmosClient
from azure.storage.blob import ContainerClient

from tests.e2e.azure_account import AzureAccount
from zekt_common.adapters.azure_backend import open_azure_backend
from zekt_common.adapters.backend import Backend
from zekt_common.adapters.backend_settings import BackendSettings
from zekt_common.adapters.blob_container import CONTAINER
from zekt_common.adapters.cosmos_topology import KEYS, events_of, views_of
from zekt_common.adapters.embedded import open_backend
from zekt_common.errors import PayloadNotFound
from zekt_common.kit.settings import EnvironmentReader

Content = tuple[str, bytes]
Kind = Literal["events", "views"]
_TABLES: Final[dict[Kind, str]] = {"events": "events", "views": "documents"}


class RunStore(Protocol):
    """The engine's stores, beside the suite."""

    def open(self, service: str) -> AbstractAsyncContextManager[Backend]:
        """Open a service's ports."""
        ...

    def accounts(self) -> list[int]:
        """Whoever has, or had, a data key."""
        ...

    def places(self) -> list[tuple[int, str]]:
        """Account and hash of every payload."""
        ...

    def remote(self) -> list[Content]:
        """What is stored elsewhere than in the data directory, as it lies there, by where that is."""
        ...

    def secrets(self) -> dict[str, bytes]:
        """What opens the stores."""
        ...

    def place_of(self, kind: Kind, service: str) -> str:
        """What the scan calls the place of a service's events or views."""
        ...


@dataclass(frozen=True)
class OnOneMachine:
    """SQLite files below the data directory."""

    data_dir: Path

    def open(self, service: str) -> AbstractAsyncContextManager[Backend]:
        return open_backend(self.data_dir, service)

    def accounts(self) -> list[int]:
        return [account_id for (account_id,) in self._rows("keys.db", "SELECT account_id FROM data_keys")]

    def places(self) -> list[tuple[int, str]]:
        return self._rows("payloads.db", "SELECT account_id, sha256 FROM payloads")

    def remote(self) -> list[Content]:
        return []

    def secrets(self) -> dict[str, bytes]:
        return {}

    def place_of(self, kind: Kind, service: str) -> str:
        return f"the table {_TABLES[kind]} of {service}.db"

    def _rows(self, file: str, query: str) -> list[Any]:
        with closing(sqlite3.connect(f"file:{self.data_dir / file}?mode=ro", uri=True)) as database:
            return database.execute(query).fetchall()


@dataclass(frozen=True)
class OnAzure:
    """The stand-ins for Cosmos DB and Blob Storage."""

    account: AzureAccount

    def open(self, service: str) -> AbstractAsyncContextManager[Backend]:
        settings = BackendSettings.read(EnvironmentReader(self.account.settings))
        assert settings.azure is not None
        return open_azure_backend(settings.azure, settings.master_key, service)

    def accounts(self) -> list[int]:
        return [int(item["id"]) for container, item in self._items() if container == KEYS]

    def places(self) -> list[tuple[int, str]]:
        named = (name.split("/") for name, _ in self._blobs())
        return [(int(account_id), sha256) for account_id, sha256 in named]

    def remote(self) -> list[Content]:
        items = [(f"an item of {container}", msgspec.json.encode(item)) for container, item in self._items()]
        return items + [(f"the blob {name}", content) for name, content in self._blobs()]

    def secrets(self) -> dict[str, bytes]:
        """Return the keys of the three accounts, and the master key."""
        connections = {
            name: self.account.settings[name] for name in ("ZEKT_SERVICEBUS_CONNECTION", "ZEKT_BLOB_CONNECTION")
        }
        keys = {f"the key in {name}": _key_in(connection) for name, connection in connections.items()}
        named = keys | {"the key of Cosmos DB": self.account.cosmos_key}
        master_key = Path(self.account.settings["ZEKT_MASTER_KEY_FILE"]).read_bytes()
        return {name: value.encode() for name, value in named.items()} | {"the master key": master_key}

    def place_of(self, kind: Kind, service: str) -> str:
        return f"an item of {events_of(service) if kind == 'events' else views_of(service)}"

    def _items(self) -> Iterator[tuple[str, dict[str, Any]]]:
        with CosmosClient(self.account.cosmos_url, self.account.cosmos_key) as client:
            database = client.get_database_client(self.account.settings["ZEKT_COSMOS_DATABASE"])
            for name in [str(found["id"]) for found in database.list_containers()]:
                for item in database.get_container_client(name).read_all_items():
                    yield name, dict(item)

    def _blobs(self) -> Iterator[tuple[str, bytes]]:
        connection = self.account.azurite.connection_string
        with ContainerClient.from_connection_string(connection, CONTAINER) as container:
            for name in [blob.name for blob in container.list_blobs()]:
                yield name, container.download_blob(name).readall()


def _key_in(connection: str) -> str:
    parts = dict(part.split("=", 1) for part in connection.split(";") if "=" in part)
    return parts.get("SharedAccessKey") or parts["AccountKey"]


async def opened_payloads(store: RunStore) -> list[Content]:
    """Return every payload as its account reads it, but those of erased accounts: ciphertext hides what is in it."""
    opened: list[Content] = []
    async with store.open("ingress") as backend:
        for account_id, sha256 in store.places():
            try:
                opened.append((f"a payload of account {account_id}", await backend.payloads.get(account_id, sha256)))
            except PayloadNotFound:
                continue
    return opened
