"""The copy from beginning to end: held still, planned, written, compared, and only then marked as done."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import msgspec

from zekt_cli.addresses import SERVICES
from zekt_cli.copying import events, places, sealed
from zekt_cli.copying.documents import MARKS, copy_documents
from zekt_cli.copying.events import EventPlan
from zekt_cli.copying.held import held_loops
from zekt_cli.copying.tally import count
from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.provision.azure import provision
from zekt_common.adapters.azure_connections import AzureConnections
from zekt_common.adapters.blob_container import BlobContainer
from zekt_common.adapters.cosmos_client import CosmosDatabase, open_cosmos
from zekt_common.adapters.cosmos_event_store import CosmosEventStore
from zekt_common.adapters.cosmos_import import CosmosImport
from zekt_common.adapters.cosmos_leases import CosmosLeases
from zekt_common.adapters.cosmos_topology import events_of, views_of
from zekt_common.adapters.cosmos_views import CosmosViews
from zekt_common.adapters.sqlite_export import SqliteExport
from zekt_common.clock import to_micros, utc_now
from zekt_common.ports import Put

_MARK: Final = (MARKS, "sqlite")
_CLOCKS_APART: Final = timedelta(seconds=1)


class ServiceReport(msgspec.Struct, frozen=True, rename="camel"):
    """What a service has, and how much of it was not there before; `publishes_from` when something waits."""

    service: str
    streams: int
    events: int
    copied: int
    documents: int = 0
    publishes_from: datetime | None = None


class Report(msgspec.Struct, frozen=True, rename="camel"):
    """What was copied, or would be."""

    services: Sequence[ServiceReport]
    keys: int
    payloads: int
    dead_letters_left: int
    unchanged: bool = False


@dataclass(frozen=True)
class Target:
    """Where everything goes."""

    database: CosmosDatabase
    keys: CosmosDatabase
    blobs: BlobContainer

    def store(self, service: str) -> CosmosEventStore:
        """Return the service's events."""
        return CosmosEventStore(self.database.container(events_of(service)))

    def views(self, service: str) -> CosmosViews:
        """Return the service's views."""
        return CosmosViews(self.database.container(views_of(service)))


@asynccontextmanager
async def open_target(ways: AzureConnections) -> AsyncIterator[Target]:
    """Open what `zekt provision` has made, held still.

    Raises:
        CommandFailed: 1 when something is missing or a suite runs there, 3 unreachable, 5 refused.
    """
    lacking = await provision(
        ways, dry_run=True, only={ways.cosmos.setting, ways.cosmos_keys.setting, ways.blob.setting}
    )
    if lacking:
        names = ", ".join(change.name for change in lacking)
        raise CommandFailed(Exit.CHECK_FAILED, f"not there, or not as expected: {names}: run `zekt provision` first")
    async with (
        open_cosmos(ways.cosmos) as database,
        open_cosmos(ways.cosmos_keys) as keys,
        BlobContainer(ways.blob) as blobs,
    ):
        target = Target(database, keys, blobs)
        async with held_loops([(service, CosmosLeases(target.views(service))) for service in SERVICES]):
            yield target


async def copy(source: SqliteExport, target: Target, *, dry_run: bool) -> Report:
    """Copy everything that is not there yet, unless `dry_run`.

    Raises:
        CommandFailed: 1 when the target holds something else, or the copy is not the same in the end.
    """
    now = utc_now()
    plans = [await events.plan_events(each, source.store(each), target.store(each)) for each in SERVICES]
    _check_clock(plans, now)
    unchanged = await _is_done(plans, target)
    report = partial(Report, dead_letters_left=source.count_dead_letters(), unchanged=unchanged)
    if dry_run or unchanged:
        keys, payloads = len(source.keys()), source.count_payloads(now=to_micros(now))
        return report([_planned(plan) for plan in plans], keys, payloads)
    keys = await sealed.copy_keys(source, CosmosImport(target.keys))
    payloads = await sealed.copy_payloads(source, target.blobs, now=to_micros(now))
    services = [await _copy_service(plan, source, target, to_micros(now)) for plan in plans]
    await _mark_done(target)
    return report(services, keys, payloads)


async def _copy_service(plan: EventPlan, source: SqliteExport, target: Target, now: int) -> ServiceReport:
    """Copy a service, the places of its readers last: they hold only once everything is there."""
    service, store, views = plan.service, target.store(plan.service), target.views(plan.service)
    onto = CosmosImport(target.database)
    documents = await copy_documents(service, source, views, onto, now=now)
    await events.write_events(plan, source.store(service), onto)
    ends = await events.verify_events(plan, store)
    found = await places.positions(service, source)
    await places.write_positions(found, ends, store, views)
    return msgspec.structs.replace(_planned(plan), documents=documents, publishes_from=found.get(f"relay/{service}"))


def _planned(plan: EventPlan) -> ServiceReport:
    return ServiceReport(service=plan.service, streams=len(plan.source), events=count(plan.source), copied=plan.missing)


def _check_clock(plans: Sequence[EventPlan], now: datetime) -> None:
    """Refuse events of the future: what is stored next would be stamped before them."""
    newest = max(plan.newest for plan in plans)
    if newest > now + _CLOCKS_APART:
        raise CommandFailed(
            Exit.CHECK_FAILED, f"events here are stamped {newest.isoformat()}, which is yet to come: set the clock"
        )


async def _is_done(plans: Sequence[EventPlan], target: Target) -> bool:
    """Return whether this very copy was finished before.

    Raises:
        CommandFailed: 1 when it was, and the suite has run here since.
    """
    mark = await target.views(SERVICES[0]).get(*_MARK)
    if mark is None:
        return False
    if missing := sum(plan.missing for plan in plans):
        raise CommandFailed(
            Exit.CHECK_FAILED,
            f"this was copied before, and has had events since ({missing}): copy into a database of its own "
            "(ZEKT_COSMOS_DATABASE), or delete that one",
        )
    return True


async def _mark_done(target: Target) -> None:
    partition, id_ = _MARK
    body = msgspec.json.encode({"at": utc_now()})
    await target.views(SERVICES[0]).write([Put(partition=partition, id=id_, body=body)])
