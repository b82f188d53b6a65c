"""A trace as a table for people and as rows for programs."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from zekt_cli.output import short_type, table
from zekt_cli.tracing.order import Step


def trace_table(steps: Sequence[Step]) -> Table:
    """Return the trace, one line for each event."""
    shown = table("#", "ms", "service", "event", "because of", "stream", right=("#", "ms"))
    for step in steps:
        envelope = step.event.envelope
        cause = f"#{step.cause}" if step.cause else ""
        shown.add_row(
            str(step.number),
            f"{step.offset_ms:,.1f}",
            step.event.service,
            short_type(envelope.type),
            cause,
            f"{envelope.stream}@{envelope.version}",
        )
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
