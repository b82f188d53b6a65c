"""A release that cannot read what is stored is refused, and one that can is not, whatever was installed in between."""

import importlib
import inspect
import pkgutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from cli.tests.conftest import Zekt
from cli.tests.test_provision import EMULATOR, cosmos
from libs.common.tests.azure.azurite import azurite_or_skip

from zekt_cli.exits import CommandFailed
from zekt_cli.provision.cosmos import plan as plan_account
from zekt_cli.provision.schemas import DOCUMENT, PARTITION, READ, plan
from zekt_common.adapters.cosmos_client import CosmosConnection, CosmosDatabase, open_cosmos
from zekt_common.adapters.cosmos_event_store import CosmosEventStore
from zekt_common.adapters.cosmos_topology import events_of, views_of
from zekt_common.adapters.cosmos_views import CosmosViews
from zekt_common.envelope import Event, NewEvent
from zekt_common.stored_schemas import versions_of


class Renamed(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.renamed"
    SCHEMA_VERSION: ClassVar[int] = 2

    name: str = "new"


OLD, NEW, WITHOUT = {"router": {Renamed.TYPE: 1}}, {"router": {Renamed.TYPE: 2}}, {"router": {"dev.zekt.test.other": 1}}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with cosmos(tmp_path_factory.mktemp("cosmos") / "cosmos.log") as running:
        yield running


@pytest.fixture
async def database(account: dict[str, str], tmp_path: Path) -> AsyncIterator[CosmosDatabase]:
    """A database of this test's own, with its containers."""
    way = CosmosConnection(
        endpoint=account["ZEKT_COSMOS_ENDPOINT"], key=account["ZEKT_COSMOS_KEY"], database=tmp_path.name
    )
    async with open_cosmos(way) as opened:
        for change in await plan_account(opened, max_ru=None):
            await change.make()
        yield opened


async def install(database: CosmosDatabase, release: dict[str, dict[str, int]], *, at: datetime | None = None) -> int:
    """Provision as this release does, and return how many notes changed."""
    changes = await plan(database, read=release, clock=lambda: at or datetime.now(UTC))
    for change in changes:
        await change.make()
    return len(changes)


async def store(database: CosmosDatabase, stream: str = "test/1") -> None:
    event = NewEvent(body=Renamed(), source="zekt/router", subject="s", correlationid="c", causationid="c")
    await CosmosEventStore(database.container(events_of("router"))).append(stream, [event], expected_version=0)


async def test_what_a_release_may_store_is_noted_once(database: CosmosDatabase) -> None:
    assert await install(database, OLD) == 1
    assert await install(database, OLD) == 0
    assert await install(database, NEW) == 1
    assert await install(database, NEW) == 0


async def test_a_release_that_reads_an_older_schema_than_is_stored_is_refused(database: CosmosDatabase) -> None:
    await install(database, OLD)
    await install(database, NEW)
    await store(database)
    with pytest.raises(CommandFailed) as refused:
        await install(database, OLD)
    assert str(refused.value) == (
        "router has stored dev.zekt.test.renamed in schema version 2, and this release of Zekt reads no newer one "
        "than 1: install the release that stored it, or a newer one"
    )


async def test_a_release_that_does_not_know_a_stored_event_is_refused(database: CosmosDatabase) -> None:
    await install(database, NEW)
    await store(database)
    with pytest.raises(CommandFailed, match="reads no such event"):
        await install(database, WITHOUT)


async def test_an_upgrade_that_stored_nothing_new_can_be_taken_back(database: CosmosDatabase) -> None:
    await install(database, OLD)
    await install(database, NEW)
    assert await install(database, OLD) == 1
    assert await install(database, NEW) == 1
    assert await install(database, WITHOUT) == 1


async def test_only_what_was_stored_since_a_schema_was_noted_is_looked_at(database: CosmosDatabase) -> None:
    await store(database)
    await install(database, NEW, at=datetime.now(UTC) + timedelta(hours=1))
    assert await install(database, OLD) == 1


async def test_zekt_provision_refuses_before_it_changes_anything(
    zekt: Zekt, account: dict[str, str], database: CosmosDatabase, tmp_path: Path
) -> None:
    await install(database, {"router": {**READ["router"], Renamed.TYPE: 2}})
    await store(database)
    before = await CosmosViews(database.container(views_of("router"))).get(PARTITION, DOCUMENT)
    with azurite_or_skip() as azurite:
        env = {
            **account,
            "ZEKT_COSMOS_DATABASE": tmp_path.name,
            "ZEKT_BLOB_CONNECTION": azurite.connection_string,
            "ZEKT_SERVICEBUS_CONNECTION": EMULATOR,
        }
        ended = zekt("provision", **env)
    assert ended.returncode == 1
    assert ended.stderr.startswith("zekt: router has stored dev.zekt.test.renamed in schema version 2")
    assert ended.stderr.count("\n") == 1
    assert await CosmosViews(database.container(views_of("router"))).get(PARTITION, DOCUMENT) == before


@pytest.mark.parametrize("service", READ)
def test_every_event_that_a_service_stores_is_among_those_noted(service: str) -> None:
    package = importlib.import_module(f"zekt_{service}")
    names = [found.name for found in pkgutil.walk_packages(package.__path__, f"zekt_{service}.")]
    modules = [importlib.import_module(name) for name in names if not name.endswith("__main__")]
    stored = {
        kind
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Event) and kind.__module__.startswith(f"zekt_{service}.") and hasattr(kind, "TYPE")
    }
    assert versions_of(stored) == READ[service]
