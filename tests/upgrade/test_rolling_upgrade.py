"""From the commit before to this one and back, service by service, under load: nothing refused, nothing lost."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tests.e2e.catalogs import catalog, onboard
from tests.e2e.counting import all_received, assert_repeats_are_reported_as_ambiguous, every_subscription
from tests.upgrade.load import Load
from tests.upgrade.previous import ROOT
from tests.upgrade.rolling import RollingSuite, rolling_suite
from zekt_sandbox import GitHubSandbox, Limits

ORDER = ("identity", "router", "dispatcher", "ingress")
RUNS_EACH = 20
pytestmark = pytest.mark.slow


@asynccontextmanager
async def under_load(directory: Path, root: Path) -> AsyncIterator[tuple[RollingSuite, Load]]:
    """Run the sources at `root` under load until the block ends; then nothing was refused, and all arrives."""
    async with GitHubSandbox.start(limits=Limits(enabled=False)) as sandbox:
        onboard(sandbox)
        async with rolling_suite(directory, sandbox, root) as suite:
            await suite.apply(catalog(mode="events+messages"))
            load = Load(suite, sandbox)
            async with load.running():
                await load.further(RUNS_EACH)
                yield suite, load
            assert (set(load.messages), set(load.webhooks)) == ({200}, {202})
            expected = every_subscription(load.runs)
            assert set(await all_received(sandbox, expected)) == expected
            await assert_repeats_are_reported_as_ambiguous(suite, sandbox)


async def replaced(suite: RollingSuite, load: Load, name: str, root: Path) -> None:
    """Replace the service, ingress over a webhook that it has half of, and see runs through after it."""
    await suite.replace(name, root, during=load.half_sent() if name == "ingress" else None)
    await load.further(RUNS_EACH)


async def test_an_upgrade_under_load_refuses_and_loses_nothing(tmp_path: Path, previous: Path) -> None:
    async with under_load(tmp_path, previous) as (suite, load):
        for name in ORDER:
            await replaced(suite, load, name, ROOT)


async def test_a_rollback_under_load_refuses_and_loses_nothing(tmp_path: Path, previous: Path) -> None:
    async with under_load(tmp_path, ROOT) as (suite, load):
        for name in reversed(ORDER):
            await replaced(suite, load, name, previous)


async def test_a_version_that_cannot_read_what_is_stored_is_kept_out_while_the_one_that_can_goes_on(
    tmp_path: Path, previous: Path
) -> None:
    async with under_load(tmp_path, ROOT) as (suite, load):
        file = suite.data_dir / "ingress.db"
        changed_by_a_newer_version(file)
        code, said = await suite.refused("ingress", previous)
        assert (code, said) == (1, f"zekt: {refusal(file)}")
        await load.further(RUNS_EACH)


def changed_by_a_newer_version(file: Path) -> None:
    """Give the file the mark of a schema that nobody knows yet."""
    with closing(sqlite3.connect(file, timeout=30)) as connection:
        (known,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version = {known + 1}")


def refusal(file: Path) -> str:
    with closing(sqlite3.connect(file, timeout=30)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    return f"{file} has schema version {version}, this program knows {version - 1}: run the newer Zekt"
