"""`zekt dlq`: the messages that were given up."""

from typing import Any

import click

from zekt_cli import options
from zekt_cli.addresses import SERVICES
from zekt_cli.client import HttpClient, refused
from zekt_cli.output import console, print_json, table

_FAILED_FROM = 400
_NOT_FOUND = 404
_LIMIT = 1000


@click.command("dlq")
@click.option("--service", "services", multiple=True, type=click.Choice(SERVICES), help="Only this service's.")
@options.suite_options
def command(*, services: tuple[str, ...], as_json: bool, **suite: Any) -> None:
    """List the dead letters: bus messages that no handler could deal with."""
    client = options.connect(**suite)
    letters = [letter for service in services or SERVICES for letter in _dead_letters(client, service)]
    if as_json:
        print_json({"deadLetters": letters})
    elif letters:
        _print(letters)
    else:
        click.echo("no dead letters")


def _dead_letters(client: HttpClient, service: str) -> list[dict[str, Any]]:
    answer = client.request("GET", f"/api/operations/{service}/dead-letters", query={"limit": _LIMIT})
    if answer.status == _NOT_FOUND:
        return []
    if answer.status >= _FAILED_FROM:
        raise refused(answer)
    letters: list[dict[str, Any]] = answer.body["dead_letters"]
    return [{"service": service, **letter} for letter in letters]


def _print(letters: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for letter in letters for name in letter))
    shown = table(*columns)
    for letter in letters:
        shown.add_row(*(str(letter.get(name, "")) for name in columns))
    console().print(shown)
