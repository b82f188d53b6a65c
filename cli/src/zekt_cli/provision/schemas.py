"""The schemas in which events may be stored: noted before a release may store them, so that another one can tell.

A release that cannot read what is stored is refused before it changes anything, and before any of it is started.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import msgspec

from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.provision.change import Change
from zekt_common.adapters.cosmos_client import CosmosDatabase
from zekt_common.adapters.cosmos_container import CosmosContainer
from zekt_common.adapters.cosmos_topology import events_of, views_of
from zekt_common.adapters.cosmos_views import CosmosViews
from zekt_common.clock import Clock, utc_now
from zekt_common.envelope import Event, decode
from zekt_common.ports import Put
from zekt_dispatcher.delivery_events import SCHEMAS as DELIVERY_SCHEMAS
from zekt_identity.projections import SCHEMAS as IDENTITY_SCHEMAS
from zekt_ingress.message import MESSAGE_SCHEMAS
from zekt_ingress.webhook import WEBHOOK_SCHEMAS
from zekt_router.catalog_events import CATALOG_SCHEMAS
from zekt_router.run_events import RUN_SCHEMAS

PARTITION: Final = "schemas"
DOCUMENT: Final = "stored"
CLOCKS_DIFFER: Final = timedelta(minutes=10)
_SINCE: Final = "SELECT c.event FROM c WHERE c.type = @type AND c._ts >= @since"

Noted = Mapping[str, Mapping[int, int]]
"""By event type and schema version, the second since which events of it may be stored."""


def versions_of(events: Iterable[type[Event]]) -> Mapping[str, int]:
    """Return the newest schema version that is read of each event type."""
    return {event.TYPE: event.SCHEMA_VERSION for event in events}


READ: Final[Mapping[str, Mapping[str, int]]] = {
    "ingress": versions_of([*WEBHOOK_SCHEMAS, *MESSAGE_SCHEMAS]),
    "identity": versions_of(IDENTITY_SCHEMAS),
    "router": versions_of([*CATALOG_SCHEMAS, *RUN_SCHEMAS]),
    "dispatcher": versions_of(DELIVERY_SCHEMAS),
}


async def plan(
    database: CosmosDatabase, *, read: Mapping[str, Mapping[str, int]] = READ, clock: Clock = utc_now
) -> Sequence[Change]:
    """Return the notes that are to be taken of what this release may store.

    Raises:
        CommandFailed: 1 when something is stored that it cannot read.
    """
    changes = []
    for service, versions in read.items():
        noted = await _noted(database, service)
        await _check_readable(database.container(events_of(service)), service, noted, versions)
        wanted = _brought_up_to(versions, noted, clock())
        if wanted != noted:
            changes.append(Change("~" if noted else "+", "schemas", service, partial(_note, database, service, wanted)))
    return changes


def _brought_up_to(versions: Mapping[str, int], noted: Noted, now: datetime) -> Noted:
    """Return the notes without what is not stored after all, and with what may be stored from now on."""
    since = int((now - CLOCKS_DIFFER).timestamp())
    return {
        kind: {older: at for older, at in noted.get(kind, {}).items() if older < newest}
        | {newest: noted.get(kind, {}).get(newest, since)}
        for kind, newest in sorted(versions.items())
    }


async def _check_readable(events: CosmosContainer, service: str, noted: Noted, versions: Mapping[str, int]) -> None:
    for kind, stored in noted.items():
        known = versions.get(kind, 0)
        newer = [since for version, since in stored.items() if version > known]
        if newer and (found := await _stored_above(events, kind, known, since=min(newer))):
            raise CommandFailed(
                Exit.CHECK_FAILED,
                f"{service} has stored {kind} in schema version {found}, and this release of Zekt reads "
                f"{f'no newer one than {known}' if known else 'no such event'}: install the release that stored it, "
                "or a newer one",
            )


async def _stored_above(events: CosmosContainer, kind: str, known: int, *, since: int) -> int | None:
    """Return a schema version over `known` that an event of this type has, if any stored since then has one."""

    async def look(_: object) -> int | None:
        parameters: list[dict[str, object]] = [{"name": "@type", "value": kind}, {"name": "@since", "value": since}]
        async for item in events.proxy.query_items(_SINCE, parameters=parameters):
            if (version := decode(item["event"]).schemaversion) > known:
                return version
        return None

    return await events.ask("query", look)


async def _noted(database: CosmosDatabase, service: str) -> Noted:
    document = await CosmosViews(database.container(views_of(service))).get(PARTITION, DOCUMENT)
    return {} if document is None else msgspec.json.decode(document.body, type=dict[str, dict[int, int]])


async def _note(database: CosmosDatabase, service: str, wanted: Noted) -> None:
    put = Put(partition=PARTITION, id=DOCUMENT, body=msgspec.json.encode(wanted))
    await CosmosViews(database.container(views_of(service))).write([put])
