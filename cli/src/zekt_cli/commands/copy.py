"""`zekt copy`: growing up from one machine."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from zekt_cli import options
from zekt_cli.copying.held import held_directory
from zekt_cli.copying.run import Report, copy, open_target
from zekt_cli.copying.sealed import check_master_key
from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.key_store import read_master_key
from zekt_cli.output import print_json
from zekt_cli.provision.refusals import explained
from zekt_cli.provision.schemas import READ
from zekt_common.adapters.azure_connections import connections
from zekt_common.adapters.azure_settings import COSMOS_ENDPOINT, AzureSettings
from zekt_common.adapters.master_key import open_master_key
from zekt_common.adapters.master_key_settings import MasterKeySettings
from zekt_common.adapters.sqlite_export import open_export
from zekt_common.errors import SettingsError, ZektError


@click.command("copy")
@click.option("--from", "source", required=True, type=click.Choice(["sqlite"]), help="The engine to copy from.")
@click.option("--to", "target", required=True, type=click.Choice(["azure"]), help="The engine to copy to.")
@click.option("--dry-run", is_flag=True, help="Compare both sides and say what would be copied, and copy nothing.")
@options.data_dir
@options.as_json
def command(*, source: str, target: str, dry_run: bool, data_dir: Path, as_json: bool) -> None:
    """Copy a suite's data from this machine to Azure, as it is, with no suite running on either side.

    Where Azure is, is read from the environment; see docs/azure.md. A copy that was cut short goes on where it was;
    one that was finished changes nothing.
    """
    del source, target  # the one pair there is
    with _explained():
        settings = AzureSettings.from_env(os.environ)
        with held_directory(data_dir):
            report = asyncio.run(_copy(data_dir, settings, read_master_key(data_dir), dry_run=dry_run))
    if as_json:
        print_json({"report": report, "dryRun": dry_run})
    else:
        _print(report, dry_run=dry_run)


async def _copy(data_dir: Path, settings: AzureSettings, wraps: MasterKeySettings, *, dry_run: bool) -> Report:
    async with open_export(data_dir, READ) as here, open_master_key(wraps) as master:
        await check_master_key(here, master)
        async with connections(settings) as ways, open_target(ways) as there:
            return await copy(here, there, dry_run=dry_run)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what goes wrong into one line with the contract's exit code."""
    try:
        with explained(COSMOS_ENDPOINT, "copying"):
            yield
    except SettingsError as error:
        raise CommandFailed(Exit.USAGE, str(error)) from error
    except ZektError as error:
        raise CommandFailed(Exit.CHECK_FAILED, str(error)) from error


def _print(report: Report, *, dry_run: bool) -> None:
    for each in report.services:
        click.echo(f"{each.service:<11} {each.events} events in {each.streams} streams, {each.copied} not there before")
        if each.publishes_from is not None:
            click.echo(f"{'':<11} publishes what was stored since {each.publishes_from.isoformat()}")
    click.echo(f"data keys: {report.keys}, payloads: {report.payloads}")
    if report.dead_letters_left:
        click.echo(f"dead letters that stay here: {report.dead_letters_left} (`zekt dlq` shows them)")
    click.echo(_outcome(report, dry_run=dry_run))


def _outcome(report: Report, *, dry_run: bool) -> str:
    if report.unchanged:
        return "copied before, and the same: nothing to do"
    return "nothing was copied (--dry-run)" if dry_run else "copied, and the same on both sides"
