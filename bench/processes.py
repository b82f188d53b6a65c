"""Starting what is measured, and accounting for its CPU and memory from outside."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def process(
    *module: str, env: dict[str, str] | None = None, log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python -m MODULE ...` until the block ends."""
    with (log or Path(os.devnull)).open("ab") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", *module], env=os.environ | (env or {}), stdout=output, stderr=output
        )
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(20)


def wait_until_answering(url: str, *, within_s: float = 30) -> None:
    """Wait until the URL answers 200.

    Raises:
        TimeoutError: it did not in time.
    """
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - loopback
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise TimeoutError(f"{url} does not answer")


def descendants(pid: int) -> list[int]:
    """Return the process and all its children's ids."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in descendants(int(child)))]


def cpu_s(pid: int) -> dict[int, float]:
    """Return user plus system seconds so far of the process and each of its children."""
    used = {}
    for one in descendants(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        used[one] = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    return used


def memory_mib(pid: int) -> float:
    """Return the resident memory of the process and its children."""
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in descendants(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024
