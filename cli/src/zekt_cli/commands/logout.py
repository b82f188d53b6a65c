"""`zekt logout`: end the session of `zekt login`, in the suite and on this machine."""

from typing import Any, Final

import click

from zekt_cli import options
from zekt_cli.client import HttpClient, refused
from zekt_cli.output import print_json
from zekt_cli.sessions import SessionFile
from zekt_cli.suite import locate

_ENDED: Final = (204, 401)
"""Ended now, or before."""


@click.command("logout")
@options.suite_options
def command(*, as_json: bool, **suite: Any) -> None:
    """End the session at the suite, then forget it; a session that cannot be ended is kept."""
    url, file = locate(**suite).url, SessionFile.of_user()
    token = file.find(url)
    if token is not None:
        _end(url, token)
        file.remove(url)
    if as_json:
        print_json({"url": url, "ended": token is not None})
    else:
        click.echo(f"{'Signed out of' if token is not None else 'Not signed in to'} {url}")


def _end(url: str, token: str) -> None:
    answer = HttpClient(url, headers={"Authorization": f"Bearer {token}"}).request("POST", "/auth/logout")
    if answer.status not in _ENDED:
        raise refused(answer)
