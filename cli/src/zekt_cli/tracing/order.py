"""Events in the order of cause and effect."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from zekt_cli.operations import StoredEvent
from zekt_common.envelope import Envelope

_PART: Final = re.compile(r"(?<=@)(\d+)\.\d+\Z")


@dataclass(frozen=True)
class Step:
    """One event of a trace: its place, how long after the first it was stored, and the place of its cause."""

    number: int
    offset_ms: float
    cause: int | None
    event: StoredEvent


@dataclass(frozen=True)
class _Place:
    """Sorts by time, with an effect never before its cause even where clocks disagree."""

    time: datetime
    depth: int


def in_causal_order(events: Iterable[StoredEvent]) -> list[Step]:
    """Return each event once, causes before effects, otherwise by time."""
    by_id = {event.envelope.id: event for event in events}
    places: dict[str, _Place] = {}
    for event_id in by_id:
        _place(event_id, by_id, places)
    ordered = sorted(by_id.values(), key=lambda event: _sort_key(event, places))
    numbers = {event.envelope.id: number for number, event in enumerate(ordered, start=1)}
    return [
        Step(number, _offset_ms(ordered[0], event), numbers.get(cause_of(event.envelope)), event)
        for number, event in enumerate(ordered, start=1)
    ]


def cause_of(envelope: Envelope) -> str:
    """Return the id of the stored event that caused this one; messages about one event are numbered after it."""
    return _PART.sub(r"\1", envelope.causationid)


def _place(event_id: str, by_id: Mapping[str, StoredEvent], places: dict[str, _Place]) -> None:
    """Place the chain of causes that ends in this event, the first cause first."""
    chain: list[str] = []
    current = event_id
    while current in by_id and current not in places and current not in chain:
        chain.append(current)
        current = cause_of(by_id[current].envelope)
    before = places.get(current)
    for link in reversed(chain):
        time = by_id[link].envelope.time
        before = _Place(max(time, before.time), before.depth + 1) if before else _Place(time, 0)
        places[link] = before


def _sort_key(event: StoredEvent, places: Mapping[str, _Place]) -> tuple[datetime, int, str, int]:
    place = places[event.envelope.id]
    return place.time, place.depth, event.envelope.stream, event.envelope.version


def _offset_ms(first: StoredEvent, event: StoredEvent) -> float:
    return (event.envelope.time - first.envelope.time).total_seconds() * 1000
