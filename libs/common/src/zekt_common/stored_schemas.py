"""Which schemas of events may be stored, and which of them a release cannot read: the same on every engine."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from zekt_common.envelope import Event

Versions = Mapping[str, int]
"""By event type, the newest schema version that a release stores and reads."""

Noted = Mapping[str, Mapping[int, int]]
"""By event type and schema version, since when events of it may be stored: a second or a position, by the engine."""


class Newer(msgspec.Struct, frozen=True):
    """Of this event type, something newer than `known` may be stored since then; 0 is a type that is not known."""

    kind: str
    known: int
    since: int


def versions_of(events: Iterable[type[Event]]) -> Versions:
    """Return the newest schema version that is read of each event type."""
    return {event.TYPE: event.SCHEMA_VERSION for event in events}


def newer_than(read: Versions, noted: Noted) -> Sequence[Newer]:
    """Return what may be stored that a release that reads these versions cannot read."""
    found = []
    for kind, stored in noted.items():
        known = read.get(kind, 0)
        if newer := [since for version, since in stored.items() if version > known]:
            found.append(Newer(kind, known, min(newer)))
    return found


def unreadable(newer: Newer, version: int) -> str:
    """Return what to do about an event of this schema version, which is stored and cannot be read."""
    known = f"no newer one than {newer.known}" if newer.known else "no such event"
    return (
        f"{newer.kind} in schema version {version}, and this release of Zekt reads {known}: "
        "install the release that stored it, or a newer one"
    )
