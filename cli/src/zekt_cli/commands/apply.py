"""`zekt apply`: the catalog as code."""

from pathlib import Path
from typing import Any

import click

from zekt_cli import options
from zekt_cli.catalog.applying import Applied, apply_catalog, await_seen
from zekt_cli.catalog.file import load
from zekt_cli.output import print_json


@click.command("apply")
@click.option("-f", "--file", "file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file.")
@click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
@click.option("--prune", is_flag=True, help="Remove what the file leaves out, of the accounts that it names.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=30.0, show_default=True, help="Seconds."
)
@options.suite_options
def command(file: Path, *, dry_run: bool, prune: bool, timeout_s: float, as_json: bool, **suite: Any) -> None:
    """Bring the catalog to what a file says, and wait until every service has seen it.

    It takes an operator, or the session of who owns every account that the file names.
    """
    catalog = load(file)
    client = options.connect(**suite)
    applied = apply_catalog(client, catalog, dry_run=dry_run, prune=prune, timeout_s=timeout_s)
    if as_json:
        print_json({"changes": applied.changes, "positions": applied.positions, "dryRun": dry_run})
    else:
        _print(applied, dry_run=dry_run)
    if applied.positions and not dry_run:
        await_seen(client, applied.positions, timeout_s)


def _print(applied: Applied, *, dry_run: bool) -> None:
    changed = applied.changed
    for change in changed:
        fields = f"  ({', '.join(change.fields)})" if change.fields else ""
        click.echo(f"{change.sign} {change.kind:<13} {change.name}{fields}")
    if not changed:
        click.echo("nothing to change")
    else:
        click.echo(f"{len(changed)} change{'s' * (len(changed) != 1)}{' would be made' * dry_run}")
