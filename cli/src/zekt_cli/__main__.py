"""`zekt`: run, feed, watch and diagnose a suite."""

import importlib
from collections.abc import Mapping
from typing import Final

import click

from zekt_cli import __version__

COMMANDS: Final[Mapping[str, str]] = {
    "up": "Run the whole suite in one process.",
    "demo": "Run the main job end to end and verify it.",
    "apply": "Bring the catalog to what a file says.",
    "status": "Show what is running and how far behind it is.",
    "events": "Show what happened, event by event.",
    "deliveries": "Show what went where, and whether it arrived.",
    "trace": "Show one event's way through the suite, with times.",
    "dlq": "Show the messages that were given up.",
    "relay": "Publish stored events again.",
    "login": "Sign in with GitHub, for the account routes.",
    "logout": "End the session of login.",
    "provision": "Create in Azure what the services expect there.",
    "keys": "Rotate the master key behind what is encrypted.",
    "copy": "Move a suite's data from this machine to Azure.",
}


class CommandGroup(click.Group):
    """Imports a command when it is called: `zekt status` need not load four services."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which a newcomer meets them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, or None so that click reports an unknown name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"zekt_cli.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="zekt")
def main() -> None:
    """Trigger GitHub workflows across organisations without sharing a token.

    \b
    Exit codes: 0 done or unchanged, 1 a check failed, 2 usage or invalid file,
    3 suite not reachable, 4 timed out waiting, 5 refused.
    """  # noqa: D301 - click reads \b as "keep these lines"


if __name__ == "__main__":
    main()
