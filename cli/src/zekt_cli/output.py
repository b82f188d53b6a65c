"""What commands print: tables and lines for people, JSON for programs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table

_PIPED_WIDTH = 1000


def console(*, quiet: bool = False) -> Console:
    """Return a console on standard output; piped output is never wrapped."""
    plain = Console(highlight=False, quiet=quiet)
    return plain if plain.is_terminal else Console(highlight=False, quiet=quiet, width=max(plain.width, _PIPED_WIDTH))


def print_json(value: object) -> None:
    """Print `value` as indented JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_line(value: object) -> None:
    """Print `value` as one line of JSON, at once: the form of a stream."""
    click.echo(msgspec.json.encode(value).decode())


def table(*columns: str, right: Sequence[str] = (), whole: Sequence[str] = ()) -> Table:
    """Return an empty table; the columns in `right` hold numbers, those in `whole` are never broken into lines."""
    made = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for column in columns:
        align: JustifyMethod = "right" if column in right else "left"
        made.add_column(column, justify=align, no_wrap=column in whole or column in right, overflow="fold")
    return made


def short_time(value: Any) -> str:
    """Return an RFC 3339 time as UTC to the millisecond, for people."""
    moment = msgspec.convert(value, datetime).astimezone(UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def short_type(value: str) -> str:
    """Return an event type without the prefix that all of them share."""
    return value.removeprefix("dev.zekt.")
