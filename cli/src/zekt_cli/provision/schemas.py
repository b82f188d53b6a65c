"""The schemas in which events may be stored: noted before a release may store them, so that another one can tell.

A release that cannot read what is stored is refused before it changes anything, and before any of it is started.
"""

from collections.abc import Mapping, Sequence
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
from zekt_common.envelope import decode
from zekt_common.ports import Put
from zekt_common.stored_schemas import Newer, Noted, Versions, newer_than, unreadable
from zekt_dispatcher.app import READ as DISPATCHER
from zekt_identity.app import READ as IDENTITY
from zekt_ingress.app import READ as INGRESS
from zekt_router.app import READ as ROUTER

PARTITION: Final = "schemas"
DOCUMENT: Final = "stored"
CLOCKS_DIFFER: Final = timedelta(minutes=10)
_SINCE: Final = "SELECT c.event FROM c WHERE c.type = @type AND c._ts >= @since"

READ: Final[Mapping[str, Versions]] = {
    "ingress": INGRESS,
    "identity": IDENTITY,
    "router": ROUTER,
    "dispatcher": DISPATCHER,
}


async def plan(
    database: CosmosDatabase, *, read: Mapping[str, Versions] = READ, clock: Clock = utc_now
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


def _brought_up_to(versions: Versions, noted: Noted, now: datetime) -> Noted:
    """Return the notes without what is not stored after all, and with the second since which the rest may be."""
    since = int((now - CLOCKS_DIFFER).timestamp())
    return {
        kind: {older: at for older, at in noted.get(kind, {}).items() if older < newest}
        | {newest: noted.get(kind, {}).get(newest, since)}
        for kind, newest in sorted(versions.items())
    }


async def _check_readable(events: CosmosContainer, service: str, noted: Noted, versions: Versions) -> None:
    for newer in newer_than(versions, noted):
        if found := await _stored_above(events, newer):
            raise CommandFailed(Exit.CHECK_FAILED, f"{service} has stored {unreadable(newer, found)}")


async def _stored_above(events: CosmosContainer, newer: Newer) -> int | None:
    """Return a schema version over the known one that an event of this type has, if any stored since then has one."""

    async def look(_: object) -> int | None:
        asked = {"@type": newer.kind, "@since": newer.since}
        parameters: list[dict[str, object]] = [{"name": name, "value": value} for name, value in asked.items()]
        async for item in events.proxy.query_items(_SINCE, parameters=parameters):
            if (version := decode(item["event"]).schemaversion) > newer.known:
                return version
        return None

    return await events.ask("query", look)


async def _noted(database: CosmosDatabase, service: str) -> Noted:
    document = await CosmosViews(database.container(views_of(service))).get(PARTITION, DOCUMENT)
    return {} if document is None else msgspec.json.decode(document.body, type=dict[str, dict[int, int]])


async def _note(database: CosmosDatabase, service: str, wanted: Noted) -> None:
    put = Put(partition=PARTITION, id=DOCUMENT, body=msgspec.json.encode(wanted))
    await CosmosViews(database.container(views_of(service))).write([put])
