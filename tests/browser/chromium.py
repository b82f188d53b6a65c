"""A headless Chromium: installed from its lock file on first use; where it cannot run the tests are skipped.

In CI nothing is skipped: the variable `CI` turns the absence into a failure.
"""

import asyncio
import fcntl
import os
import platform
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

HOME: Final = Path(__file__).parents[2] / "tools" / "browser"
UNPACKED: Final = HOME / "node_modules" / ".chromium"
LONGEST_MESSAGE_BYTES: Final = 64 * 1024 * 1024
ENDS_WITHIN_S: Final = 10.0
_INSTALL: Final = (["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], ["node", "unpack.mjs"])
_PIPED: Final = ("/bin/sh", "-c", 'exec "$0" "$@" 3<&0 4>&1 1>&2')
"""Chromium reads commands from descriptor 3 and writes to 4; it ends when the pipe is closed."""


def chromium_or_skip() -> Path:
    """Return the program, installed if need be."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        _absent("The Chromium of the tests is for Linux on x86-64: the tests in a browser did not run")
    if shutil.which("node") is None or shutil.which("npm") is None:
        _absent("Node is not installed: the tests in a browser did not run")
    _install()
    return UNPACKED / "chromium"


@asynccontextmanager
async def running(program: Path, profile: Path, *options: str) -> AsyncIterator[Process]:
    """Run Chromium on an empty profile until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *_PIPED,
        str(program),
        *_options(profile),
        *options,
        env={"HOME": str(profile), "PATH": os.defpath, "LD_LIBRARY_PATH": str(program.parent / "lib")},
        stdin=PIPE,
        stdout=PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=LONGEST_MESSAGE_BYTES,
    )
    try:
        yield process
    finally:
        await _end(process)


def _options(profile: Path) -> list[str]:
    """No sandbox, since CI runs as root and the pages are ours; no upgrade to https, since http is part of the test."""
    return [
        "--headless=shell",
        "--remote-debugging-pipe",
        f"--user-data-dir={profile}",
        "--no-sandbox",
        "--no-zygote",
        "--no-first-run",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable",
    ]


async def _end(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), ENDS_WITHIN_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def _absent(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _install() -> None:
    """Install once, however many test processes ask."""
    with (HOME / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in _INSTALL if not UNPACKED.exists() else ():
            ended = subprocess.run(command, cwd=HOME, check=False, capture_output=True)
            if ended.returncode:
                pytest.fail("Chromium could not be installed from the npm registry: try `make browser`")
