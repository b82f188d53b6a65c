"""How a catalog's events are appended: in portions, since no append takes more than 99.

The events come in an order of which every beginning is a sound catalog, and what a crash between two portions leaves
undone is done by applying the same again.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from zekt_common.append_limits import MAX_BYTES, MAX_EVENTS, weight
from zekt_common.envelope import Envelope, Event, NewEvent
from zekt_common.ports import EventStore
from zekt_router.catalog_events import AccountRecorded, InstallationSeen, RepositorySeen
from zekt_router.catalog_plan import identity

_ENTITIES: Final = ("account", "repository", "workflow", "service", "subscription")


def portions(events: Sequence[NewEvent]) -> Iterator[list[NewEvent]]:
    """Part the events where one append would not take them; what follows each other about one entity stays together."""
    portion: list[NewEvent] = []
    size = 0
    for _, group in groupby(events, key=lambda event: _subject(event.body)):
        together = list(group)
        added = sum(weight(event.body) for event in together)
        if portion and (len(portion) + len(together) > MAX_EVENTS or size + added > MAX_BYTES):
            yield portion
            portion, size = [], 0
        portion += together
        size += added
    if portion:
        yield portion


async def append_in_portions(
    store: EventStore, stream: str, events: Sequence[NewEvent], *, expected_version: int, stored: list[Envelope]
) -> None:
    """Append one portion after the other and add each to `stored`, which tells how far it went.

    Raises:
        StreamConflict: somebody else appended to the stream, before the first or between two.
    """
    for portion in portions(events):
        appended = await store.append(stream, portion, expected_version=expected_version)
        stored += appended
        expected_version = appended[-1].version


def _subject(event: Event) -> tuple[str, Any]:
    """Return what the event is about: the same as its neighbour's where both are steps of one change."""
    match event:
        case RepositorySeen(standing=standing):
            return "repository", standing.repository_id
        case AccountRecorded() | InstallationSeen():
            return event.TYPE, None
    return identity(next(getattr(event, name) for name in event.__struct_fields__ if name in _ENTITIES))
