"""Finding what an id belongs to, and every stored event of it, by following streams, causes and deliveries."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from zekt_cli.client import HttpClient
from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.operations import EventFilter, StoredEvent, data, read_all, read_stream

_KEPT_BY: Final = {
    "webhook": "ingress",
    "message": "ingress",
    "run": "router",
    "catalog": "router",
    "delivery": "dispatcher",
}
_RUN: Final = re.compile(r"\d+/\d+")
_MESSAGE: Final = "evt-"
_DELIVERY: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Thread:
    """What belongs together: a correlation id, and the streams by which it was found."""

    correlation: str
    streams: frozenset[str]


def resolve(client: HttpClient, wanted: str) -> Thread:
    """Return what `wanted` belongs to: a run, a delivery id, an event id, a message's eventId or a webhook's GUID.

    Raises:
        CommandFailed: 1 when nothing of that id is stored.
    """
    if _RUN.fullmatch(wanted):
        return Thread(wanted, frozenset({f"run/{wanted}"}))
    for event in _candidates(client, wanted):
        correlation = event.envelope.correlationid
        return Thread(correlation, frozenset({event.envelope.stream, f"run/{correlation}"}))
    raise CommandFailed(Exit.CHECK_FAILED, f"nothing is stored under {wanted!r}; see `zekt trace --help` for the kinds")


def collect(client: HttpClient, thread: Thread) -> list[StoredEvent]:
    """Return every stored event of the thread, in no particular order.

    Raises:
        CommandFailed: 1 when there is none.
    """
    waiting, seen = set(thread.streams), set[str]()
    found: list[StoredEvent] = []
    while waiting:
        stream = waiting.pop()
        seen.add(stream)
        events = [event for event in _stream(client, stream) if event.envelope.correlationid == thread.correlation]
        found += events
        waiting |= {linked for event in events for linked in _linked(event)} - seen
    if not found:
        raise CommandFailed(Exit.CHECK_FAILED, f"nothing is stored about {thread.correlation}")
    return found


def _candidates(client: HttpClient, wanted: str) -> Iterator[StoredEvent]:
    if "@" in wanted:
        yield from _stream(client, wanted.rpartition("@")[0])
    elif _DELIVERY.fullmatch(wanted):
        yield from _stream(client, f"delivery/{wanted}")
    elif wanted.startswith(_MESSAGE):
        yield from _ending(client, "message/*", wanted.removeprefix(_MESSAGE))
    else:
        yield from _ending(client, "webhook/*", wanted)


def _ending(client: HttpClient, streams: str, name: str) -> Iterator[StoredEvent]:
    """Yield the events of ingress's streams with this last part, the only one that callers know of them."""
    for event in read_all(client, "ingress", EventFilter(stream=streams)):
        if event.envelope.stream.rpartition("/")[2].lower() == name.lower():
            yield event


def _stream(client: HttpClient, stream: str) -> list[StoredEvent]:
    service = _KEPT_BY.get(stream.partition("/")[0])
    return read_stream(client, service, stream) if service is not None else []


def _linked(event: StoredEvent) -> Iterator[str]:
    """Yield the streams of the event's cause and of the deliveries that it names."""
    yield event.envelope.causationid.rpartition("@")[0]
    for delivery_id in _delivery_ids(data(event)):
        yield f"delivery/{delivery_id}"


def _delivery_ids(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("delivery_id"), str):
            yield value["delivery_id"]
        for name, inner in value.items():
            if name != "payload":
                yield from _delivery_ids(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _delivery_ids(inner)
