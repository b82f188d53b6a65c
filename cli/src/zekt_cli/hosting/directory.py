"""The data directory as `zekt up` keeps it: one suite at a time, and files that say where it is."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from zekt_cli.exits import CommandFailed, Exit

LOCK_FILE = "up.lock"


@contextmanager
def occupied(data_dir: Path) -> Iterator[None]:
    """Hold the data directory for this process, creating it (mode 0700) on first use; the kernel frees it at death.

    Raises:
        CommandFailed: 1 when another `zekt up` holds it, or it cannot be used.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unusable(data_dir, error) from error
    try:
        _take(descriptor, data_dir)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, data_dir: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
        raise CommandFailed(
            Exit.CHECK_FAILED,
            f"a suite runs on {data_dir} already (process {holder}): stop it, or choose another --data-dir",
        ) from None
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
    except OSError as error:
        raise _unusable(data_dir, error) from error


@contextmanager
def announced(path: Path) -> Iterator[None]:
    """Remove what an earlier process left at `path`, and what this one writes there, when the block ends."""
    forget(path)
    try:
        yield
    finally:
        forget(path)


def announce(path: Path, state: object) -> None:
    """Write `state` as JSON, readable by its owner alone; who waits for the file never reads half of it.

    Raises:
        CommandFailed: 1 when the directory cannot be written.
    """
    draft = path.with_name(f".{path.name}.draft")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(state) + b"\n")
        draft.replace(path)
    except OSError as error:
        raise _unusable(path.parent, error) from error


def forget(path: Path) -> None:
    """Remove the file, if it is there and can be removed."""
    with contextlib.suppress(OSError):
        path.unlink()


def _unusable(data_dir: Path, error: OSError) -> CommandFailed:
    return CommandFailed(Exit.CHECK_FAILED, f"the data directory {data_dir} cannot be used: {error.strerror}")
