"""The data keys and their master key, opened as the services open them, beside a suite that may be running."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from zekt_cli.exits import CommandFailed, Exit
from zekt_common.adapters.azure_settings import AzureSettings
from zekt_common.adapters.backend_settings import BackendSettings
from zekt_common.adapters.embedded import KEYS as KEYS_FILE
from zekt_common.adapters.key_wrapping import KeyRecords, MasterKey
from zekt_common.adapters.master_key import open_master_key
from zekt_common.adapters.master_key_settings import DEFAULT_FILE, KEYVAULT_URL, MASTER_KEY_FILE, MasterKeySettings
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.adapters.sqlite_keys import KEY_TABLES, SqliteKeyRecords
from zekt_common.kit.settings import EnvironmentReader


@dataclass(frozen=True)
class KeyStore:
    """Wrapped data keys, and what wraps them."""

    records: KeyRecords
    master: MasterKey


def read_settings(data_dir: Path, env: Mapping[str, str] = os.environ) -> BackendSettings:
    """Return the settings of the suite: on Azure too, its master key may be the one in the data directory.

    Raises:
        SettingsError: it names every variable that is missing or unusable.
    """
    own = data_dir / DEFAULT_FILE
    is_named = any(env.get(name, "").strip() for name in (MASTER_KEY_FILE, KEYVAULT_URL))
    reader = EnvironmentReader(env if is_named or not own.is_file() else {**env, MASTER_KEY_FILE: str(own)})
    settings = BackendSettings.read(reader)
    reader.check()
    return settings


def read_master_key(data_dir: Path, env: Mapping[str, str] = os.environ) -> MasterKeySettings:
    """Return where the master key of the suite on this machine is.

    Raises:
        SettingsError: it names every variable that is unusable.
    """
    reader = EnvironmentReader(env)
    settings = MasterKeySettings.read(reader, shared=False).within(data_dir, is_made=False)
    reader.check()
    return settings


@asynccontextmanager
async def open_key_store(settings: BackendSettings, data_dir: Path) -> AsyncIterator[KeyStore]:
    """Enter with the keys of the suite; nothing is made that is not there.

    Raises:
        CommandFailed: 2 when the data directory holds no keys.
        StorageUnusable: the keys or the master key cannot be used.
    """
    async with AsyncExitStack() as stack:
        if settings.azure is None:
            records = await _on_this_machine(stack, data_dir)
        else:
            records = await _on_azure(stack, settings.azure)
        wraps = settings.master_key.within(data_dir, is_made=False)
        yield KeyStore(records, await stack.enter_async_context(open_master_key(wraps)))


async def _on_this_machine(stack: AsyncExitStack, data_dir: Path) -> KeyRecords:
    path = data_dir / KEYS_FILE
    if not path.is_file():
        raise CommandFailed(Exit.USAGE, f"{data_dir} holds no suite's keys: choose another --data-dir")
    database = await SqliteDatabase.open(path, KEY_TABLES, secure_delete=True)
    stack.push_async_callback(database.close)
    return SqliteKeyRecords(database)


async def _on_azure(stack: AsyncExitStack, settings: AzureSettings) -> KeyRecords:
    from zekt_common.adapters.azure_connections import connections  # noqa: PLC0415 - SDKs that one machine never needs
    from zekt_common.adapters.cosmos_client import open_cosmos  # noqa: PLC0415
    from zekt_common.adapters.cosmos_keys import CosmosKeyRecords  # noqa: PLC0415
    from zekt_common.adapters.cosmos_topology import KEYS  # noqa: PLC0415

    ways = await stack.enter_async_context(connections(settings))
    database = await stack.enter_async_context(open_cosmos(ways.cosmos_keys))
    return CosmosKeyRecords(database.container(KEYS))
