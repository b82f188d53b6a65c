"""`zekt trace`: one event's way through the suite."""

from typing import Any

import click

from zekt_cli import options
from zekt_cli.output import console, print_json
from zekt_cli.tracing.collect import collect, resolve
from zekt_cli.tracing.order import in_causal_order
from zekt_cli.tracing.show import trace_rows, trace_table


@click.command("trace")
@click.argument("id")
@options.suite_options
def command(id: str, *, as_json: bool, **suite: Any) -> None:  # noqa: A002 - the argument's own name
    """Show everything that ID is part of, in causal order and with times.

    ID is a run as REPOSITORY_ID/RUN_ID, a delivery id, an event id (STREAM@VERSION), the eventId that a message was
    answered with (evt-...), or the GUID of a webhook delivery.
    """
    client = options.connect(**suite)
    thread = resolve(client, id)
    steps = in_causal_order(collect(client, thread))
    if as_json:
        print_json({"correlationId": thread.correlation, "steps": trace_rows(steps)})
        return
    click.echo(f"run {thread.correlation}")
    console().print(trace_table(steps))
