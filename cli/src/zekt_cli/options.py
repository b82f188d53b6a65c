"""The options that many commands share; flags win over the environment."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from zekt_cli.client import SuiteClient
from zekt_cli.credentials import with_credential
from zekt_cli.sessions import SessionFile
from zekt_cli.suite import locate

Command = TypeVar("Command", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of text.")
data_dir = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="ZEKT_DATA_DIR",
    default=Path(".zekt"),
    show_default=True,
    help="The suite's data directory [env: ZEKT_DATA_DIR].",
)
_url = click.option(
    "--url",
    "urls",
    envvar="ZEKT_URL",
    multiple=True,
    metavar="[SERVICE=]URL",
    help="The suite's URL, or one service's; several times [env: ZEKT_URL; default: what suite.json says].",
)


def suite_options(command: Command) -> Command:
    """Give a command --url, --data-dir and --json; it passes the first two to `connect`."""
    return _url(data_dir(as_json(command)))


def connect(urls: Sequence[str], data_dir: Path) -> SuiteClient:
    """Return a client of the suite that the options name.

    Raises:
        CommandFailed: 2 when a token would travel in the open, 3 when nothing says where the suite is, or it cannot be
            reached to renew a session.
    """
    return SuiteClient(with_credential(locate(urls, data_dir), SessionFile.of_user()))
