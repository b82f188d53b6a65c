"""Carrying over how far relays and projectors have come, by the time of the first event that is still before them.

Cursors mean nothing to another engine. A relay has come as far as its topic was heard: what waits on the bus here is
published again there, and so is what was stored after it, which its readers recognise.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from zekt_cli.copying.tally import FeedEnd
from zekt_common.adapters.sqlite_event_store import FEED
from zekt_common.adapters.sqlite_export import SqliteExport
from zekt_common.contracts.ingress import Watermark
from zekt_common.kit.checkpoints import PARTITION, Checkpoint, CheckpointDocument
from zekt_common.ports import EventStore, Views

_LIMIT: Final = 1000
_RELAY: Final = "relay/"


async def positions(service: str, source: SqliteExport) -> dict[str, datetime | None]:
    """Return, for each of the service's readers, the time of the first event still to come; None at the end."""
    found: dict[str, datetime | None] = {}
    for document in await source.views(service).listing(PARTITION, limit=_LIMIT):
        checkpoint = msgspec.json.decode(document.body, type=Checkpoint)
        reader = document.id.removesuffix(f"/{FEED}")
        page = await source.store(service).read_feed(FEED, checkpoint.cursor, 1)
        ahead = [event.time for event in page.events]
        waiting = _waiting(source, reader.removeprefix(_RELAY)) if reader.startswith(_RELAY) else []
        found[reader] = min([*ahead, *waiting], default=None)
    return found


async def write_positions(
    found: Mapping[str, datetime | None], ends: Mapping[str, FeedEnd], store: EventStore, views: Views
) -> None:
    """Write a checkpoint for each reader and feed; what is at the end starts from the end."""
    for reader, moment in found.items():
        for feed, end in ends.items():
            document = CheckpointDocument(views, f"{reader}/{feed}")
            await document.load()
            await document.save(await _checkpoint(store, feed, moment, end))


async def _checkpoint(store: EventStore, feed: str, moment: datetime | None, end: FeedEnd) -> Checkpoint:
    if moment is not None:
        return Checkpoint(await store.cursor_at(feed, moment), moment)
    return Checkpoint(end.cursor, end.through) if end.cursor else Checkpoint()


def _waiting(source: SqliteExport, topic: str) -> list[datetime]:
    """Return the time of the oldest event that a message still waits to tell of, if there is one."""
    times = (message.time for message in source.unsettled(topic) if message.type != Watermark.TYPE)
    oldest = min(times, default=None)
    return [] if oldest is None else [oldest]
