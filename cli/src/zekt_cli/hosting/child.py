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
    """A child that was started."""

    process: subprocess.Popen[bytes]
    log: Path

    def ready_line(self, within_s: float) -> str:
        """Return the line by which the child says that it is ready.

        Raises:
            ChildFailed: it ended, or said nothing within the time.
        """
        assert self.process.stdout is not None  # noqa: S101 - it was opened as a pipe
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(within_s) else b""
        if not line:
            said = self.log.read_text(errors="replace").strip().splitlines()
            raise ChildFailed(said[-1] if said else f"it said nothing for {within_s:g} s")
        return line.decode()


@contextmanager
def child(
    arguments: Sequence[str], *, log: Path, ends_within_s: float, env: Mapping[str, str] | None = None
) -> Iterator[Child]:
    """Start `python -m ARGUMENTS`, and end it with the block; what it says on standard error goes to `log`.

    It has a session of its own: Ctrl-C reaches the parent alone, which ends it in order. If the parent is killed, the
    child ends too.
    """
    with log.open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            [sys.executable, "-m", "zekt_cli.hosting.tethered", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=env,
            start_new_session=True,
        )
    try:
        yield Child(process, log)
    finally:
        _end(process, ends_within_s)


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
