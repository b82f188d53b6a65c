"""The database and its containers, in an account that writes in one region."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from azure.cosmos import PartitionKey, ThroughputProperties
from azure.cosmos.aio import DatabaseProxy
from azure.cosmos.exceptions import CosmosResourceNotFoundError

from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.provision import schemas
from zekt_cli.provision.change import Change
from zekt_common.adapters.azure_settings import COSMOS_ENDPOINT, COSMOS_KEYS_ENDPOINT
from zekt_common.adapters.cosmos_client import CosmosDatabase
from zekt_common.adapters.cosmos_keys import CosmosKeyRecords
from zekt_common.adapters.cosmos_topology import (
    KEYS,
    KEYS_DEFINITION,
    ContainerDefinition,
    definitions,
    service_definitions,
)

SERVICES: Final = ("ingress", "identity", "router", "dispatcher")
LEAST_AUTOSCALE_RU: Final = 1000


async def plan(database: CosmosDatabase, *, max_ru: int | None, with_keys: bool = True) -> Sequence[Change]:
    """Return what the account lacks, in the order to make it in; the data keys may have an account of their own.

    `max_ru` is the throughput that a new database's containers share, scaled by need; without it the account decides.

    Raises:
        CommandFailed: 1 when the account writes in several regions, a container exists in a form that cannot change,
            events are stored that this release cannot read, or data keys would be left behind.
    """
    if not with_keys:
        await _check_no_keys_left(database)
    wanted = definitions(SERVICES) if with_keys else service_definitions(SERVICES)
    return [*await _plan_containers(database, wanted, max_ru), *await schemas.plan(database)]


async def plan_keys(database: CosmosDatabase, *, max_ru: int | None) -> Sequence[Change]:
    """Return what the data keys' own account lacks.

    Raises:
        CommandFailed: 1 when the account writes in several regions, or a container exists in a form that cannot change.
    """
    return await _plan_containers(database, [KEYS_DEFINITION], None if max_ru is None else LEAST_AUTOSCALE_RU)


async def _plan_containers(
    database: CosmosDatabase, wanted: Sequence[ContainerDefinition], max_ru: int | None
) -> Sequence[Change]:
    await _check_one_write_region(database)
    found = await _containers(database.proxy)
    changes = [] if found is not None else [_new_database(database, max_ru)]
    for each in wanted:
        changes += _container_changes(database.proxy, each, (found or {}).get(each.name))
    return changes


async def _check_no_keys_left(database: CosmosDatabase) -> None:
    """Refuse to make another place for keys while there are some in this one: what they seal would be lost."""
    if KEYS in (await _containers(database.proxy) or {}) and await CosmosKeyRecords(database.container(KEYS)).counts():
        raise CommandFailed(
            Exit.CHECK_FAILED,
            f"{COSMOS_KEYS_ENDPOINT} names an account of its own for data keys, and that of {COSMOS_ENDPOINT} holds "
            f"some: move the items of its container {KEYS} there, then delete it",
        )


async def _check_one_write_region(database: CosmosDatabase) -> None:
    """Refuse several: two regions could each write the same version of a stream, or another key for an account."""
    account = await database.client._get_database_account()  # noqa: SLF001 - the SDK has no public way to ask
    regions = [location["name"] for location in account.WritableLocations]
    if len(regions) > 1:
        raise CommandFailed(
            Exit.CHECK_FAILED,
            f"{database.setting}: the account writes in {len(regions)} regions ({', '.join(regions)}): "
            "leave it one write region, since two could store the same version of a stream",
        )


async def _containers(database: DatabaseProxy) -> dict[str, Mapping[str, Any]] | None:
    """Return the containers by name, or None where there is no database yet."""
    try:
        return {str(found["id"]): found async for found in database.list_containers()}
    except CosmosResourceNotFoundError:
        return None


def _new_database(database: CosmosDatabase, max_ru: int | None) -> Change:
    throughput = ThroughputProperties(auto_scale_max_throughput=max_ru) if max_ru else None
    create = partial(database.client.create_database_if_not_exists, database.proxy.id, offer_throughput=throughput)
    return Change("+", "database", database.proxy.id, create)


def _container_changes(
    database: DatabaseProxy, wanted: ContainerDefinition, found: Mapping[str, Any] | None
) -> list[Change]:
    key = PartitionKey(path=wanted.partition_key)
    form: dict[str, Any] = {"indexing_policy": wanted.indexing_policy, "default_ttl": wanted.default_ttl_s}
    if found is None:
        create = partial(database.create_container_if_not_exists, wanted.name, key, **form)
        return [Change("+", "container", wanted.name, create)]
    paths = found["partitionKey"]["paths"]
    if paths != [wanted.partition_key]:
        raise CommandFailed(
            Exit.CHECK_FAILED,
            f"the container {wanted.name} is partitioned by {', '.join(paths)}, not {wanted.partition_key}, "
            "which cannot be changed: delete it, or give ZEKT_COSMOS_DATABASE another name",
        )
    if _is_as_wanted(found, wanted):
        return []
    return [Change("~", "container", wanted.name, partial(database.replace_container, wanted.name, key, **form))]


def _is_as_wanted(found: Mapping[str, Any], wanted: ContainerDefinition) -> bool:
    """Compare what we ask for alone: the account adds paths and settings of its own."""
    policy = found.get("indexingPolicy", {})
    included = {each["path"] for each in policy.get("includedPaths", [])}
    excluded = {each["path"] for each in policy.get("excludedPaths", [])}
    asked = wanted.indexing_policy
    return (
        included == {each["path"] for each in asked["includedPaths"]}
        and excluded >= {each["path"] for each in asked["excludedPaths"]}
        and found.get("defaultTtl") == wanted.default_ttl_s
    )
