"""A child process that says one line when it is ready, and is ended with the block that started it."""

import selectors
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class ChildFailed(Exception):
    """The child ended, or stayed silent, before it was ready; the message is the last that it said."""


@dataclass(frozen=True)
class Child:
    """A running child and the line by which it said that it was ready."""

    process: subprocess.Popen[bytes]
    ready_line: str


@contextmanager
def child(
    arguments: Sequence[str], *, log: Path, starts_within_s: float, ends_within_s: float, env: Mapping[str, str] | None
) -> Iterator[Child]:
    """Run `python -m ARGUMENTS` in a session of its own: Ctrl-C reaches the parent alone, which ends it in order.

    Its standard input is a pipe that closes when the parent is gone, its standard error goes to `log`.

    Raises:
        ChildFailed: it was not ready within the time.
    """
    with log.open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            [sys.executable, "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=env,
            start_new_session=True,
        )
    try:
        yield Child(process, _ready_line(process, log, starts_within_s))
    finally:
        _end(process, ends_within_s)


def _ready_line(process: subprocess.Popen[bytes], log: Path, within_s: float) -> str:
    assert process.stdout is not None  # noqa: S101 - it was opened as a pipe
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline() if selector.select(within_s) else b""
    if not line:
        said = log.read_text(errors="replace").strip().splitlines()
        raise ChildFailed(said[-1] if said else f"it said nothing for {within_s:g} s")
    return line.decode()


def _end(process: subprocess.Popen[bytes], within_s: float) -> None:
    process.terminate()
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
