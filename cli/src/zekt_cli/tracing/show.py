"""A trace as a table for people and as rows for programs."""

from collections.abc import Sequence
from typing import Any, Final

from rich.table import Table

from zekt_cli.operations import StoredEvent, data
from zekt_cli.output import short_type, table
from zekt_cli.tracing.order import Step

_FROM_OUTSIDE: Final = {"message": "workflow", "webhook": "GitHub"}


def trace_table(steps: Sequence[Step], *, with_streams: bool = True) -> Table:
    """Return the trace, one line for each event."""
    streams = ("stream",) if with_streams else ()
    columns = ("#", "ms", "service", "event", "cause", "about", *streams)
    shown = table(*columns, right=("#", "ms"), whole=("service", "event", "cause"))
    targets = _targets(steps)
    for step in steps:
        envelope = step.event.envelope
        row = (f"{step.offset_ms:,.1f}", step.event.service, short_type(envelope.type), _cause(step))
        place = (f"{envelope.stream}@{envelope.version}",) if with_streams else ()
        shown.add_row(str(step.number), *row, targets.get(envelope.stream) or _about(step.event), *place)
    return shown


def trace_rows(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return the trace as JSON rows, each with the whole event."""
    return [
        {
            "number": step.number,
            "offsetMs": round(step.offset_ms, 3),
            "cause": step.cause,
            "service": step.event.service,
            "event": step.event.envelope,
        }
        for step in steps
    ]


def _cause(step: Step) -> str:
    outside = _FROM_OUTSIDE.get(step.event.envelope.stream.partition("/")[0], "")
    return f"#{step.cause}" if step.cause else outside


def _targets(steps: Sequence[Step]) -> dict[str, str]:
    """Return the repository that each delivery's stream is for."""
    orders = ((step.event.envelope.stream, data(step.event).get("order")) for step in steps)
    return {stream: order["target_repository"] for stream, order in orders if isinstance(order, dict)}


def _about(event: StoredEvent) -> str:
    """Return what tells an event from others of its type, as far as its own fields say."""
    fields = data(event)
    if isinstance(fields.get("routed"), list):
        return f"{len(fields['routed'])} routed, {len(fields['refused'])} refused"
    inner = fields.get("run") or fields.get("completion") or fields.get("message") or fields
    named = (fields.get("reason"), inner.get("event_type"), inner.get("conclusion"))
    return next((str(value) for value in named if value), "")
