"""`zekt relay`: what services tell each other of their stored events."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from zekt_cli import options
from zekt_cli.addresses import SERVICES
from zekt_cli.client import HttpClient, refused
from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.output import print_json
from zekt_common.contracts.topology import SUBSCRIPTIONS

_FAILED_FROM = 400
_NOT_FOUND = 404


class Moment(click.ParamType[datetime]):
    """A time with an offset, or UTC without one."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the time, aware."""
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time like 2026-01-31T08:00:00Z", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@click.group("relay")
def command() -> None:
    """Publish stored events again."""


@command.command("rewind")
@click.option("--from", "start", required=True, type=Moment(), help="Publish everything stored since, again.")
@click.option("--service", "services", multiple=True, type=click.Choice(SERVICES), help="Only this service's relay.")
@click.option("--to", "reader", type=click.Choice(SERVICES), help="Only to this service, as when its view was lost.")
@options.suite_options
def rewind(*, start: datetime, services: tuple[str, ...], reader: str | None, as_json: bool, **suite: Any) -> None:
    """Publish again what was stored since a moment; readers recognise what they know already."""
    client = options.connect(**suite)
    if reader is not None and not services:
        services = tuple(each.topic for each in SUBSCRIPTIONS if each.name == reader)
    order = {"from": start} | ({"to": reader} if reader else {})
    rewound = [service for service in services or SERVICES if _rewind(client, service, order, required=bool(services))]
    if as_json:
        print_json({"from": start, "services": rewound})
    else:
        click.echo(f"publishing again since {start.isoformat()}: {', '.join(rewound)}")


def _rewind(client: HttpClient, service: str, order: Mapping[str, Any], *, required: bool) -> bool:
    """Return True once rewound, False when the service publishes nothing and was not asked for by name."""
    answer = client.request("POST", f"/api/operations/{service}/relay/rewind", body=order)
    if answer.status == _NOT_FOUND:
        if required:
            raise CommandFailed(Exit.CHECK_FAILED, f"{service} publishes nothing")
        return False
    if answer.status >= _FAILED_FROM:
        raise refused(answer)
    return True
