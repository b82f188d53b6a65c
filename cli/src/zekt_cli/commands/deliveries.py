"""`zekt deliveries`: what went where, and whether it arrived."""

from typing import Any
from urllib.parse import quote

import click

from zekt_cli import options
from zekt_cli.output import console, print_json, short_time, table

_COLUMNS = ("id", "status", "requestedAt", "eventType", "source", "target", "attempts", "nextAt", "reason")


@click.command("deliveries")
@click.argument("id", required=False)
@click.option("--status", help="Only deliveries in this state.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--after", help="Go on after the cursor that the last answer gave.")
@options.suite_options
def command(
    id: str | None,  # noqa: A002 - the argument's own name
    *,
    status: str | None,
    limit: int,
    after: str | None,
    as_json: bool,
    **suite: Any,
) -> None:
    """List deliveries, or show one with its attempts and times."""
    client = options.connect(**suite)
    if id is not None:
        delivery = client.call("GET", f"/api/deliveries/{quote(id, safe='')}")
        print_json(delivery) if as_json else _print_one(delivery)
        return
    found = client.call("GET", "/api/deliveries", query={"status": status, "limit": limit, "after": after})
    print_json(found) if as_json else _print_list(found)


def _print_list(found: dict[str, Any]) -> None:
    if not found["deliveries"]:
        click.echo("no deliveries")
        return
    shown = table(*_COLUMNS, whole=("id", "status"))
    for delivery in found["deliveries"]:
        times = {name: short_time(delivery[name]) for name in ("requestedAt", "nextAt") if delivery[name]}
        shown.add_row(*(str((delivery | times)[name] or "") for name in _COLUMNS))
    console().print(shown)
    if found["cursor"]:
        click.echo(f"older ones: --after {found['cursor']}")


def _print_one(delivery: dict[str, Any]) -> None:
    for name, value in delivery.items():
        if value == []:
            continue
        if isinstance(value, list):
            click.echo(f"{name}:")
            for item in value:
                click.echo("  " + ", ".join(f"{key} {inner}" for key, inner in item.items() if inner is not None))
        elif value is not None:
            click.echo(f"{name:<20} {value}")
