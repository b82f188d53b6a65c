"""`zekt keys`: the master key that wraps what data is encrypted with."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click

from zekt_cli import options
from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.key_store import KeyStore, open_key_store, read_settings
from zekt_cli.output import print_json
from zekt_common.adapters.key_rotation import Retirement, Rotation, Standing, retire, rotate, standing
from zekt_common.adapters.master_key_file import FileMasterKey
from zekt_common.adapters.master_key_succession import SucceedingMasterKey
from zekt_common.clock import utc_now
from zekt_common.errors import BackendRefused, BackendUnavailable, SettingsError, ZektError

Done = TypeVar("Done")


@click.group("keys")
def command() -> None:
    """Rotate the master key, with the suite running.

    Where the keys are is read from the environment, as the services read it; see docs/keys.md.
    """


@command.command("status")
@options.data_dir
@options.as_json
def status_command(*, data_dir: Path, as_json: bool) -> None:
    """Show the generations of the master key, and how many data keys are wrapped under each."""
    found = _with_keys(data_dir, lambda store: standing(store.records, store.master))
    if as_json:
        print_json(found)
    else:
        _print_standing(found)


@command.command("rotate")
@click.option("--rewrap-only", is_flag=True, help="Make no new generation: use the newest everywhere.")
@click.option(
    "--from-file",
    "former",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Move from the master key in this file to the one in the settings; only with the suite stopped.",
)
@options.data_dir
@options.as_json
def rotate_command(*, rewrap_only: bool, former: Path | None, data_dir: Path, as_json: bool) -> None:
    """Make a new generation of the master key, and wrap every data key under it.

    A rotation that was cut short, or a generation that came about otherwise, is gone on with before another is made.
    Exit 1 when data keys were found that do not open.
    """
    rewrap_only = rewrap_only or former is not None

    def work(store: KeyStore) -> Awaitable[Rotation]:
        master = store.master if former is None else SucceedingMasterKey(store.master, FileMasterKey(former))
        return rotate(store.records, master, adds=not rewrap_only)

    done = _with_keys(data_dir, work)
    if as_json:
        print_json(done)
    else:
        _print_rotation(done, rewrap_only=rewrap_only)
    if done.unopened:
        raise CommandFailed(
            Exit.CHECK_FAILED, f"data keys that do not open: {done.unopened}; restore what wrapped them"
        )


@command.command("retire")
@options.data_dir
@options.as_json
def retire_command(*, data_dir: Path, as_json: bool) -> None:
    """Drop the generations under which nothing is wrapped any more; exit 1 when one has to stay.

    Backups of before the rotation do not open without them: keep a copy for as long as you keep those.
    """
    done = _with_keys(data_dir, lambda store: retire(store.records, store.master, now=utc_now()))
    if as_json:
        print_json(done)
    else:
        click.echo(f"retired: {', '.join(done.retired) or 'none'}; in use: {done.generation}")
    _check_retired(done)


def _check_retired(done: Retirement) -> None:
    if done.settles_at is not None:
        until = done.settles_at.isoformat(timespec="seconds")
        reason = f"the newest generation is too new: somebody may still be wrapping under another until {until}"
        raise CommandFailed(Exit.CHECK_FAILED, reason)
    if done.kept:
        raise CommandFailed(Exit.CHECK_FAILED, f"still in use: {_told(done.kept)}; run `zekt keys rotate` first")


def _with_keys(data_dir: Path, work: Callable[[KeyStore], Awaitable[Done]]) -> Done:
    async def run() -> Done:
        async with open_key_store(read_settings(data_dir), data_dir) as store:
            return await work(store)

    with _explained():
        return asyncio.run(run())


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what goes wrong into one line with the contract's exit code."""
    try:
        yield
    except SettingsError as error:
        raise CommandFailed(Exit.USAGE, str(error)) from error
    except BackendRefused as error:
        raise CommandFailed(Exit.REFUSED, str(error)) from error
    except BackendUnavailable as error:
        raise CommandFailed(Exit.UNREACHABLE, str(error)) from error
    except ZektError as error:
        raise CommandFailed(Exit.CHECK_FAILED, str(error)) from error


def _print_standing(found: Standing) -> None:
    for name in found.generations[:-1]:
        click.echo(f"{name}  {found.under_others.get(name, 0)} data keys")
    click.echo(f"{found.generation}  {found.wrapped} data keys, and every new one")
    elsewhere = {name: count for name, count in found.under_others.items() if name not in found.generations}
    if elsewhere:
        click.echo(f"under others: {_told(elsewhere)}")


def _print_rotation(done: Rotation, *, rewrap_only: bool) -> None:
    how = "gone on with" if done.resumed or rewrap_only else "new"
    click.echo(f"generation {done.generation} ({how}): {done.rewrapped} data keys wrapped under it")
    click.echo(
        f"left under others: {_told(done.under_others) or 'none; `zekt keys retire` drops the generations before'}"
    )


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} under {name or 'no generation by name'}" for name, count in counts.items())
