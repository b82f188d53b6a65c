"""Stand-ins for Azure's services beside the suite: started and ended with it, in memory, for tests and local trials."""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import msgspec

from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.hosting.child import Child, ChildFailed, child
from zekt_cli.provision import azure
from zekt_common.adapters.azure_connections import connections
from zekt_common.adapters.azure_settings import (
    BLOB_CONNECTION,
    BLOB_URL,
    COSMOS_ENDPOINT,
    COSMOS_KEY,
    SERVICEBUS_CONNECTION,
    SERVICEBUS_NAMESPACE,
    AzureSettings,
)
from zekt_common.adapters.master_key_file import ensure_key_file
from zekt_common.adapters.master_key_settings import DEFAULT_FILE, KEYVAULT_URL, MASTER_KEY_FILE
from zekt_common.adapters.servicebus_topology import emulator_config
from zekt_sandbox.azurite import AzuriteUnavailable, running

STARTS_WITHIN_S: Final = 30.0
ENDS_WITHIN_S: Final = 3.0
_CONFIG_FILE: Final = "servicebus-config.json"


def master_key_file(data_dir: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Return the setting of a master key that a suite of one process makes for itself, unless it has one.

    Raises:
        StorageUnusable: the file can be neither read nor created.
    """
    if _leads_to(env, MASTER_KEY_FILE, KEYVAULT_URL):
        return {}
    path = data_dir / DEFAULT_FILE
    ensure_key_file(path)
    return {MASTER_KEY_FILE: str(path)}


def stand_ins(resources: ExitStack, data_dir: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Run a stand-in for each service that the environment does not lead to, and return the settings that lead there.

    Raises:
        CommandFailed: 1 when one does not start, 2 when Azurite is needed and cannot be run here.
    """
    bus = cosmos = None
    if not _leads_to(env, SERVICEBUS_CONNECTION, SERVICEBUS_NAMESPACE):
        bus = _started(resources, data_dir, "servicebus", *_topics(data_dir))
    if not _leads_to(env, COSMOS_ENDPOINT):
        cosmos = _started(resources, data_dir, "cosmos")
    settings = {} if _leads_to(env, BLOB_CONNECTION, BLOB_URL) else _azurite(resources)
    if bus is not None:
        settings[SERVICEBUS_CONNECTION] = _ready("Service Bus", bus)["connection_string"]
    if cosmos is not None:
        state = _ready("Cosmos DB", cosmos)
        settings |= {COSMOS_ENDPOINT: state["url"], COSMOS_KEY: state["key"]}
    return settings


def provision(env: Mapping[str, str], made: Mapping[str, str]) -> None:
    """Create in the stand-ins that were `made` what the services expect there.

    Raises:
        SettingsError: the environment leads to some service in an unusable way.
        CommandFailed: a stand-in does not take it.
    """

    async def make() -> None:
        async with connections(AzureSettings.from_env(env)) as ways:
            await azure.provision(ways, dry_run=False, only=made.keys())

    asyncio.run(make())


def _leads_to(env: Mapping[str, str], *names: str) -> bool:
    return any(env.get(name, "").strip() for name in names)


def _topics(data_dir: Path) -> list[str]:
    path = data_dir / _CONFIG_FILE
    path.write_bytes(msgspec.json.encode(emulator_config()))
    return ["--config", str(path), "--control-port", "0"]


def _started(resources: ExitStack, data_dir: Path, name: str, *options: str) -> Child:
    arguments = [f"zekt_sandbox.{name}", "--port", "0", *options]
    return resources.enter_context(child(arguments, log=data_dir / f"{name}.log", ends_within_s=ENDS_WITHIN_S))


def _ready(name: str, started: Child) -> dict[str, Any]:
    try:
        state: dict[str, Any] = msgspec.json.decode(started.ready_line(STARTS_WITHIN_S))
    except ChildFailed as error:
        raise CommandFailed(Exit.CHECK_FAILED, f"the stand-in for {name} did not start: {error}") from error
    return state


def _azurite(resources: ExitStack) -> dict[str, str]:
    try:
        azurite = resources.enter_context(running())
    except AzuriteUnavailable as error:
        instead = f"or say where Blob Storage is with {BLOB_CONNECTION} or {BLOB_URL}"
        raise CommandFailed(Exit.USAGE, f"{error}, {instead}") from error
    return {BLOB_CONNECTION: azurite.connection_string}
