"""`zekt events`: what happened, event by event."""

import contextlib
import queue
import threading
from datetime import datetime
from typing import Any, TypeAlias

import click
import msgspec

from zekt_cli import options
from zekt_cli.addresses import SERVICES
from zekt_cli.client import HttpClient
from zekt_cli.exits import CommandFailed
from zekt_cli.operations import EventFilter, StoredEvent, page, pages
from zekt_cli.output import print_line, short_time, short_type
from zekt_common.envelope import Envelope

_WAIT_S = 20.0
Arrivals: TypeAlias = queue.SimpleQueue[StoredEvent | CommandFailed]


@click.command("events")
@click.option("--follow", is_flag=True, help="Go on with what happens from now on, until Ctrl-C.")
@click.option("--type", "type", help="Only this event type.")
@click.option("--stream", help="Only this stream.")
@click.option("--service", "services", multiple=True, type=click.Choice(SERVICES), help="Only this service's store.")
@click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True, help="How many of the last.")
@options.suite_options
def command(*, follow: bool, limit: int, services: tuple[str, ...], as_json: bool, **rest: Any) -> None:
    """Show stored events, oldest first."""
    wanted = EventFilter(type=_full_type(rest.pop("type")), stream=rest.pop("stream"))
    client = options.connect(**rest)
    with contextlib.suppress(*[KeyboardInterrupt] * follow):  # Ctrl-C is how following ends
        histories = [_history(client, service, wanted, limit) for service in services or SERVICES]
        for event in _newest([event for history in histories for event in history.last], limit):
            _print(event, as_json=as_json)
        if follow:
            _follow(client, histories, wanted, as_json=as_json)


class _History(msgspec.Struct, frozen=True):
    """The last events of one service, and the cursor after them; None when it keeps no events."""

    service: str
    last: list[StoredEvent]
    cursor: str | None


def _full_type(type: str | None) -> str | None:  # noqa: A002 - the option's own name
    """Return the type with the prefix that the output leaves out."""
    return type if type is None or type.startswith("dev.zekt.") else f"dev.zekt.{type}"


def _history(client: HttpClient, service: str, wanted: EventFilter, limit: int) -> _History:
    last: list[StoredEvent] = []
    cursor: str | None = None
    for found in pages(client, service, wanted):
        last = _newest(last + [StoredEvent(service, envelope) for envelope in found.events], limit)
        cursor = found.cursor
    return _History(service, last, cursor)


def _newest(events: list[StoredEvent], limit: int) -> list[StoredEvent]:
    """Return the last `limit` events by time; of one time, in the order in which they came."""
    return sorted(events, key=_time)[-limit:] if limit else []


def _time(event: StoredEvent) -> datetime:
    return event.envelope.time


def _print(event: StoredEvent, *, as_json: bool) -> None:
    if as_json:
        print_line(event.envelope)
    else:
        click.echo(_line(event.service, event.envelope))


def _line(service: str, envelope: Envelope) -> str:
    name = short_type(envelope.type)
    return f"{short_time(envelope.time)}  {service:<10} {name:<32} {envelope.stream}@{envelope.version}"


def _follow(client: HttpClient, histories: list[_History], wanted: EventFilter, *, as_json: bool) -> None:
    """Print events of all services as they are stored, until interrupted or the suite is gone."""
    arrivals: Arrivals = queue.SimpleQueue()
    for history in histories:
        threading.Thread(target=_listen, args=(client, history, wanted, arrivals), daemon=True).start()
    while True:
        arrival = arrivals.get()
        if isinstance(arrival, CommandFailed):
            raise arrival
        _print(arrival, as_json=as_json)


def _listen(client: HttpClient, history: _History, wanted: EventFilter, arrivals: Arrivals) -> None:
    """Hand on what the service stores after its history; a failure is the last thing handed on."""
    cursor = history.cursor
    try:
        while cursor is not None:
            found = page(client, history.service, wanted, cursor=cursor, wait_s=_WAIT_S)
            for envelope in found.events:
                arrivals.put(StoredEvent(history.service, envelope))
            cursor = found.cursor
    except CommandFailed as failure:
        arrivals.put(failure)
