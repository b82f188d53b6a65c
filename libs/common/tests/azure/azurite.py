"""Azurite for the suites: installed from its lock file on first use; where Node is absent they are skipped.

In CI nothing is skipped: the variable `CI` turns the absence into a failure.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from zekt_sandbox.azurite import HOME, Azurite, running

INSTALLED: Final = HOME / "node_modules" / ".package-lock.json"


@contextmanager
def azurite_or_skip(*, tls: tuple[Path, Path] | None = None) -> Iterator[Azurite]:
    if shutil.which("node") is None or shutil.which("npm") is None:
        _absent("Node is not installed: the suites over Blob Storage did not run")
    _install()
    with running(tls=tls) as azurite:
        yield azurite


def _absent(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _install() -> None:
    """Install once, however many test processes ask."""
    with (HOME / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not INSTALLED.exists():
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            ended = subprocess.run(command, cwd=HOME, check=False, capture_output=True)  # noqa: S603 - a fixed command
            if ended.returncode:
                pytest.fail("Azurite could not be installed from the npm registry: try `make azurite`")
