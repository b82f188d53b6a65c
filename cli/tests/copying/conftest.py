import asyncio
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cli.tests.conftest import Zekt
from cli.tests.copying.both_sides import (
    ACCOUNT,
    CONTENT,
    ERASED,
    LARGE_PAGE,
    STREAMS,
    MinutesPass,
    noted,
)
from cli.tests.test_provision import EMULATOR, SERVICES, cosmos
from click.testing import CliRunner
from libs.common.tests.azure.azurite import azurite_or_skip

from zekt_cli.__main__ import main
from zekt_cli.provision.azure import provision
from zekt_common.adapters.azure_connections import connections
from zekt_common.adapters.azure_settings import AzureSettings
from zekt_common.adapters.embedded import open_backend
from zekt_common.kit.checkpoints import Checkpoint, CheckpointDocument
from zekt_common.ports import Put
from zekt_sandbox.azurite import Azurite


@pytest.fixture(scope="module")
def azurite() -> Iterator[Azurite]:
    with azurite_or_skip() as running:
        yield running


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with cosmos(tmp_path_factory.mktemp("cosmos") / "log", "--key-ranges", "2") as settings:
        yield settings


@pytest.fixture
def zekt() -> Zekt:
    """`zekt` in this process, but for a thread of its own: starting another takes longer than most of these tests."""

    def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        with ThreadPoolExecutor(1) as thread:
            ended = thread.submit(CliRunner().invoke, main, [*map(str, arguments)], env=env).result()
        return subprocess.CompletedProcess(arguments, ended.exit_code, ended.stdout, ended.stderr)

    return run


@pytest.fixture
async def env(account: dict[str, str], azurite: Azurite, tmp_path: Path) -> dict[str, str]:
    """A provisioned database of its own, and where to copy from."""
    settings = account | {
        "ZEKT_COSMOS_DATABASE": f"zekt-{secrets.token_hex(4)}",
        "ZEKT_BLOB_CONNECTION": azurite.connection_string,
        "ZEKT_SERVICEBUS_CONNECTION": EMULATOR,
        "ZEKT_DATA_DIR": str(tmp_path / "data"),
    }
    async with connections(AzureSettings.from_env(settings)) as ways:
        await provision(ways, dry_run=False)
    return settings


@pytest.fixture
def data_dir(left_behind: Path, tmp_path: Path) -> Path:
    return shutil.copytree(left_behind, tmp_path / "data")


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a suite left that has published everything."""
    return asyncio.run(_left_behind(tmp_path_factory.mktemp("suite") / "data"))


async def _left_behind(directory: Path) -> Path:
    clock = MinutesPass()
    for service in SERVICES:
        async with open_backend(directory, service, clock=clock) as backend:
            for n in range(STREAMS):
                await backend.store.append(f"thing/{n}", [noted(n), noted(n)], expected_version=0)
            await backend.store.append("thing/0", [noted(0)], expected_version=2)
            await backend.views.write([Put(partition="things", id="a/b?", body=f'"{service}"'.encode())])
            for reader, limit in (("relay/" + service, LARGE_PAGE), ("projector/things", 5)):
                page = await backend.store.read_feed("all", "", limit)
                await CheckpointDocument(backend.views, f"{reader}/all").save(Checkpoint(page.cursor, page.through))
            await backend.payloads.put(ACCOUNT, CONTENT)
            await backend.keys.destroy(ERASED)
    return directory
