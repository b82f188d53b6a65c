"""`zekt status`: what is running, whether it is ready, and how far behind it is."""

from collections.abc import Iterable, Iterator
from typing import Any

import click

from zekt_cli import options
from zekt_cli.addresses import SERVICES
from zekt_cli.client import HttpClient
from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.output import console, print_json, table

_OK = 200
_READY = "ready"


@click.command("status")
@options.suite_options
def command(*, as_json: bool, **suite: Any) -> None:
    """Show whether the suite is ready, and each service's backlog; exit 1 unless it is."""
    client = options.connect(**suite)
    peers = client.peers
    url, readiness = " ".join(peer.url for peer in peers), _together(map(_readiness, peers))
    services = {name: found for name in SERVICES if (found := _status(client, name)) is not None}
    if as_json:
        print_json({"url": url, **readiness, "services": services})
    else:
        click.echo(f"{url} {'is' if len(peers) == 1 else 'are'} {readiness['status']}")
        _print_checks(readiness["checks"])
        _print_services(services)
    if readiness["status"] != _READY:
        raise CommandFailed(Exit.CHECK_FAILED, f"the suite is {readiness['status']}")


def _readiness(peer: HttpClient) -> dict[str, Any]:
    answer = peer.request("GET", "/ready")
    return {"status": "unknown", "checks": []} | (answer.body if isinstance(answer.body, dict) else {})


def _together(answers: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the first status that is not ready, if there is one, and all checks."""
    found = list(answers)
    statuses = [each["status"] for each in found if each["status"] != _READY]
    checks = [check for each in found for check in each["checks"]]
    return {"status": next(iter(statuses), _READY), "checks": checks}


def _status(client: HttpClient, service: str) -> Any:
    """Return what the service says of itself, None when it has nothing to say or is not hosted here."""
    answer = client.request("GET", f"/api/operations/{service}/status")
    return answer.body if answer.status == _OK else None


def _print_checks(checks: list[dict[str, Any]]) -> None:
    shown = table("check", "", "detail")
    for check in checks:
        shown.add_row(check["name"], "[green]ok[/]" if check["ok"] else "[red]failed[/]", check.get("detail", ""))
    if checks:
        console().print(shown)


def _print_services(services: dict[str, Any]) -> None:
    shown = table("service", "part", "backlog", "in flight", "lag s", "done", right=("backlog", "in flight", "lag s"))
    for service, fields in services.items():
        for row in _rows(fields):
            shown.add_row(service, *row)
    if services:
        console().print(shown)


def _relayed(relay: dict[str, Any]) -> str:
    """Say also how many messages lie aside because the bus refuses them, if a suite of this version knows."""
    refused = relay.get("refused", 0)
    return f"{relay['published']} published" + (f", [red]{refused} refused by the bus[/]" if refused else "")


def _rows(fields: dict[str, Any]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield each running part of a service, with how far behind it is and what it has done since it started."""
    if relay := fields.get("relay"):
        yield "relay", "", "", f"{relay['lag_s']:.3f}", _relayed(relay)
    for name, consumer in fields["consumers"].items():
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in consumer["outcomes"].items())
        yield f"consumer {name}", str(consumer["backlog"]), str(consumer["in_flight"]), "", outcomes
    for name, projector in fields["projectors"].items():
        yield f"projector {name}", "", "", f"{projector['lag_s']:.3f}", f"{projector['projected']} projected"
