from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import ClassVar

import pytest
from libs.common.tests.cosmos.account import KEY_RANGES, SERVICE, open_provisioned

from zekt_common.adapters.cosmos_client import CosmosConnection, CosmosDatabase
from zekt_common.adapters.cosmos_event_store import CosmosEventStore
from zekt_common.adapters.cosmos_topology import events_of, views_of
from zekt_common.adapters.cosmos_views import CosmosViews
from zekt_common.adapters.embedded import open_backend
from zekt_common.envelope import Event, NewEvent
from zekt_common.ports import Bus
from zekt_sandbox.cosmos import CosmosSandbox, serving


class Noted(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.noted"
    text: str


def noted(text: str = "") -> NewEvent:
    return NewEvent(body=Noted(text=text), source="test", subject=text, correlationid="c", causationid="c")


@pytest.fixture
def note() -> Callable[..., NewEvent]:
    return noted


@pytest.fixture
async def account() -> AsyncIterator[CosmosSandbox]:
    async with serving(key_ranges=KEY_RANGES) as sandbox:
        yield sandbox


@pytest.fixture
def connection(account: CosmosSandbox) -> CosmosConnection:
    return CosmosConnection(endpoint=account.url, key=account.key)


@pytest.fixture
async def database(connection: CosmosConnection) -> AsyncIterator[CosmosDatabase]:
    async with open_provisioned(connection) as opened:
        yield opened


@pytest.fixture
def store(database: CosmosDatabase) -> CosmosEventStore:
    return CosmosEventStore(database.container(events_of(SERVICE)))


@pytest.fixture
def views(database: CosmosDatabase) -> CosmosViews:
    return CosmosViews(database.container(views_of(SERVICE)))


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    async with open_backend(tmp_path, SERVICE) as embedded:
        yield embedded.bus
