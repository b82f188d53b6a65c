"""The roles in Cosmos DB allow what the code does, as an account that keeps count has seen it, and nothing more."""

import inspect
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pytest

from tests.deploy.azure_templates import AZURE, Template, module
from zekt_cli.provision.cosmos import plan, plan_keys
from zekt_cli.provision.schemas import READ
from zekt_cli.provision.schemas import plan as plan_schemas
from zekt_common.adapters import cosmos_append_times, cosmos_change_feed, cosmos_event_store, cosmos_feed_pages
from zekt_common.adapters.cosmos_client import CosmosConnection, CosmosDatabase, open_cosmos
from zekt_common.adapters.cosmos_event_store import CosmosEventStore
from zekt_common.adapters.cosmos_keys import CosmosKeyRecords
from zekt_common.adapters.cosmos_leases import CosmosLeases
from zekt_common.adapters.cosmos_topology import KEYS, events_of, views_of
from zekt_common.adapters.cosmos_views import CosmosViews
from zekt_common.adapters.master_key_file import FileMasterKey, ensure_key_file
from zekt_common.adapters.wrapped_keys import WrappedKeys
from zekt_common.envelope import Event, NewEvent
from zekt_common.errors import StreamConflict
from zekt_common.ports.views import ABSENT, Put, Remove
from zekt_sandbox.cosmos import CosmosSandbox, serving
from zekt_sandbox.cosmos.auth import Authorizer
from zekt_sandbox.cosmos.calls import Call, Operation

pytestmark = pytest.mark.xdist_group("azure-templates")

ACTION = "Microsoft.DocumentDB/databaseAccounts/"
ITEMS = f"{ACTION}sqlDatabases/containers/items/"
TAKES = {
    Operation.READ_ACCOUNT: f"{ACTION}readMetadata",
    Operation.READ_DATABASE: f"{ACTION}readMetadata",
    Operation.LIST_CONTAINERS: f"{ACTION}readMetadata",
    Operation.READ_CONTAINER: f"{ACTION}readMetadata",
    Operation.LIST_KEY_RANGES: f"{ACTION}readMetadata",
    Operation.CREATE: f"{ITEMS}create",
    Operation.READ: f"{ITEMS}read",
    Operation.REPLACE: f"{ITEMS}replace",
    Operation.UPSERT: f"{ITEMS}upsert",
    Operation.DELETE: f"{ITEMS}delete",
    Operation.QUERY: f"{ACTION}sqlDatabases/containers/executeQuery",
    Operation.QUERY_PLAN: f"{ACTION}sqlDatabases/containers/executeQuery",
    Operation.CHANGE_FEED: f"{ACTION}sqlDatabases/containers/readChangeFeed",
}
"""What each operation takes. A batch takes what is in it; what is not here takes an account's key."""


class Noted(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.noted-in-azure"


class Taken(Authorizer):
    """Lets in whoever the account would, and keeps what each call takes, by container."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.of: dict[str, set[str]] = defaultdict(set)

    def check(self, call: Call) -> None:
        super().check(call)
        self.of[call.container or ""].update(TAKES[each] for each in _operations(call))


def _operations(call: Call) -> Iterator[Operation]:
    if call.operation is Operation.BATCH:
        yield from (Operation(each["operationType"].lower()) for each in call.json())
    else:
        yield call.operation


@pytest.fixture
async def account() -> AsyncIterator[CosmosSandbox]:
    """An account that has everything that the templates make."""
    async with serving(key_ranges=2) as running:
        async with open_cosmos(_way_to(running)) as database:
            for change in await plan(database, max_ru=None):
                await change.make()
        yield running


@pytest.fixture
def taken(account: CosmosSandbox) -> Taken:
    """What is taken of the account from now on."""
    account._gateway.authorizer = Taken(account.key)  # noqa: SLF001 - the stand-in has no other place to look from
    return account._gateway.authorizer  # noqa: SLF001 - as above


@pytest.fixture
async def database(account: CosmosSandbox, taken: Taken) -> AsyncIterator[CosmosDatabase]:
    assert not taken.of
    async with open_cosmos(_way_to(account)) as opened:
        yield opened


def _way_to(account: CosmosSandbox) -> CosmosConnection:
    return CosmosConnection(endpoint=account.url, key=account.key)


def allowed(role: str) -> set[str]:
    return set(json.loads((AZURE / "cosmosRoles.json").read_text())[role])


def _event() -> NewEvent:
    return NewEvent(body=Noted(), source="test", subject="s", correlationid="c", causationid="c")


async def test_a_service_makes_and_reads_its_events_and_changes_none(database: CosmosDatabase, taken: Taken) -> None:
    store = CosmosEventStore(database.container(events_of("ingress")))
    await store.append("run/1", [_event(), _event()], expected_version=0)
    await store.append("run/1", [_event()], expected_version=2)
    with pytest.raises(StreamConflict):
        await store.append("run/1", [_event()], expected_version=1)
    assert len(await store.read("run/1")) == 3
    for feed in await store.feeds():
        await store.read_feed(feed, await store.cursor_at(feed, datetime(2020, 1, 1, tzinfo=UTC)))
        await store.wait(feed, "", timeout_s=0)
    await database.container(events_of("ingress")).proxy.read()
    assert taken.of[events_of("ingress")] == allowed("events")


def test_no_module_that_stores_events_knows_how_to_change_one() -> None:
    modules = (cosmos_event_store, cosmos_append_times, cosmos_change_feed, cosmos_feed_pages)
    text = "".join(inspect.getsource(module) for module in modules)
    assert not re.findall(
        r"ontainer\.(?:proxy\.)?(?:upsert|replace|delete|discard)|\"(?:upsert|replace|delete|patch)\"", text
    )


async def test_a_service_does_with_its_views_whatever_it_likes(database: CosmosDatabase, taken: Taken) -> None:
    views = CosmosViews(database.container(views_of("ingress")))
    await views.write([Put(partition="p", id="a", body=b"{}")])
    await views.write([Put(partition="p", id="b", body=b"{}", if_match=ABSENT)])
    document = await views.get("p", "a")
    assert document is not None
    await views.write([Put(partition="p", id="a", body=b"[]", if_match=document.etag)])
    await views.write([Put(partition=each, id="c", body=b"{}") for each in ("p", "q")])
    await views.write([Remove(partition="p", id="a"), Remove(partition="p", id="none")])
    assert [each.id for each in await views.listing("p")] == ["b", "c"]
    async with CosmosLeases(views).hold("relay"):
        pass
    await database.container(views_of("ingress")).proxy.read()
    assert taken.of[views_of("ingress")] == allowed("views")


async def test_a_service_makes_data_keys_and_destroys_them(
    database: CosmosDatabase, taken: Taken, tmp_path: Path
) -> None:
    ensure_key_file(tmp_path / "master.key")
    master = FileMasterKey(tmp_path / "master.key")
    for _ in range(2):
        keys = WrappedKeys(CosmosKeyRecords(database.container(KEYS)), master)
        await keys.data_key(1)
    await keys.destroy(1)
    await database.container(KEYS).proxy.read()
    assert taken.of[KEYS] == allowed("keys")


async def test_provisioning_looks_asks_and_notes(database: CosmosDatabase, taken: Taken) -> None:
    newer = {service: {kind: version + 1 for kind, version in read.items()} for service, read in READ.items()}
    await plan(database, max_ru=None)
    await plan_keys(database, max_ru=None)
    for versions in (newer, READ):
        for change in await plan_schemas(database, read=versions):
            await change.make()
    assert all(taken.of[events_of(service)] <= allowed("asking") for service in READ)
    asked = {action for service in READ for action in taken.of[events_of(service)]}
    assert asked | allowed("looking") == allowed("asking")
    for service in READ:
        assert taken.of[views_of(service)] | allowed("looking") == allowed("noting"), service
    assert {action for name in ("", KEYS) for action in taken.of[name]} == allowed("looking")


def test_no_operation_of_a_role_is_one_that_no_call_takes() -> None:
    given = {action for actions in json.loads((AZURE / "cosmosRoles.json").read_text()).values() for action in actions}
    assert given <= set(TAKES.values())


def test_each_part_is_given_the_role_that_is_its_containers(parsed: dict[Path, Template]) -> None:
    container, account = module(parsed, "cosmosContainer"), module(parsed, "cosmos")
    roles = json.loads((AZURE / "cosmosRoles.json").read_text())
    containers = [json.loads((AZURE / name).read_text()) for name in ("containers.json", "keyContainers.json")]
    assert {each["role"] for found in containers for each in found} | {"looking", "asking", "noting"} == set(roles)
    assert container.variables["ofProvisioning"] == {"events": "asking", "views": "noting"}
    named = r"roleDefinitionId: '\$\{\w+\.id\}/sqlRoleDefinitions/\$\{guid\(\w+\.id, (.*)\)\}'"
    assert re.findall(named, container.text) == ["container.role", "ofProvisioning[?container.role] ?? ''"]
    assert re.findall(named, account.text) == ["'looking'"]
    assert "name: guid(account.id, role.key)" in account.text
    assert "scope: '${within.id}/dbs/${database}/colls/${made.name}'" in container.text
