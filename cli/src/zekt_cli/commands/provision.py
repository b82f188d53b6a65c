"""`zekt provision`: what the services expect to find in Azure."""

import asyncio
import os
from collections.abc import Sequence

import click

from zekt_cli import options
from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.output import print_json
from zekt_cli.provision.azure import provision
from zekt_cli.provision.change import Change
from zekt_cli.provision.cosmos import LEAST_AUTOSCALE_RU
from zekt_common.adapters.azure_connections import connections
from zekt_common.adapters.azure_settings import AzureSettings
from zekt_common.errors import SettingsError


@click.command("provision")
@click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
@click.option(
    "--max-ru",
    type=click.IntRange(min=LEAST_AUTOSCALE_RU),
    help="Autoscaled request units a second that a new database shares. Without it the account decides (serverless).",
)
@options.as_json
def command(*, dry_run: bool, max_ru: int | None, as_json: bool) -> None:
    """Create the topics, subscriptions, rules, database and containers that are missing in Azure.

    Where Azure is, and how it is entered, is read from the environment; see docs/azure.md. Running it again changes
    nothing.
    """
    try:
        settings = AzureSettings.from_env(os.environ)
    except SettingsError as error:
        raise CommandFailed(Exit.USAGE, str(error)) from error
    changes = asyncio.run(_provision(settings, dry_run=dry_run, max_ru=max_ru))
    if as_json:
        print_json({"changes": [change.shown() for change in changes], "dryRun": dry_run})
    else:
        _print(changes, dry_run=dry_run)


async def _provision(settings: AzureSettings, *, dry_run: bool, max_ru: int | None) -> Sequence[Change]:
    async with connections(settings) as ways:
        return await provision(ways, dry_run=dry_run, max_ru=max_ru)


def _print(changes: Sequence[Change], *, dry_run: bool) -> None:
    for change in changes:
        click.echo(f"{change.sign} {change.kind:<14} {change.name}")
    if not changes:
        click.echo("nothing to change")
    else:
        click.echo(f"{len(changes)} change{'s' * (len(changes) != 1)}{' would be made' * dry_run}")
