"""The services' operations routes: their stored events, page by page."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from zekt_cli.client import HttpClient
from zekt_common.envelope import Envelope

PAGE: Final = 1000
_NOT_FOUND = 404


class StoredEvent(msgspec.Struct, frozen=True):
    """An event and the service whose store holds it."""

    service: str
    envelope: Envelope


class EventPage(msgspec.Struct, frozen=True):
    """One page of a service's events, and the cursor after it."""

    events: list[Envelope]
    cursor: str | None = None


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are wanted; None wants all."""

    type: str | None = None
    stream: str | None = None


def page(
    client: HttpClient, service: str, wanted: EventFilter, *, cursor: str | None = None, wait_s: float | None = None
) -> EventPage:
    """Return the events after `cursor`, waiting up to `wait_s` for the first; none if the service keeps no events.

    Raises:
        CommandFailed: the suite cannot be reached or refuses.
    """
    query = {"cursor": cursor, "limit": PAGE, "type": wanted.type, "stream": wanted.stream, "wait_s": wait_s}
    path = f"/api/operations/{service}/events"
    answer = client.request("GET", path, query=query, timeout_s=10.0 + (wait_s or 0.0))
    if answer.status == _NOT_FOUND:
        return EventPage([], cursor)
    return answer.decoded(EventPage)


def pages(client: HttpClient, service: str, wanted: EventFilter) -> Iterator[EventPage]:
    """Yield pages from the beginning to what is stored now; the last one is empty and holds the cursor to go on from.

    Raises:
        CommandFailed: as `page`.
    """
    cursor: str | None = None
    while True:
        found = page(client, service, wanted, cursor=cursor)
        yield found
        if found.cursor == cursor:
            return
        cursor = found.cursor


def read_all(client: HttpClient, service: str, wanted: EventFilter) -> Iterator[StoredEvent]:
    """Yield all events that the service has stored so far, oldest first.

    Raises:
        CommandFailed: as `page`.
    """
    for found in pages(client, service, wanted):
        for envelope in found.events:
            yield StoredEvent(service, envelope)


def read_stream(client: HttpClient, service: str, stream: str) -> list[StoredEvent]:
    """Return one stream's events, however much else the service has stored; none for an unknown stream.

    Raises:
        CommandFailed: the suite cannot be reached or refuses.
    """
    answer = client.request("GET", f"/api/operations/{service}/stream", query={"name": stream})
    return [StoredEvent(service, envelope) for envelope in answer.decoded(EventPage).events]


def data(event: StoredEvent) -> dict[str, Any]:
    """Return what the event says."""
    fields: dict[str, Any] = msgspec.json.decode(event.envelope.data)
    return fields
