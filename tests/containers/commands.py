"""Docker and Compose as commands."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
WANTED: Final = os.environ.get("ZEKT_TEST_CONTAINERS") == "yes"


def output(
    command: list[str], environment: Mapping[str, str] = os.environ, within_s: float = 60, cwd: Path = ROOT
) -> str:
    """Run the command and return what it says; a failure fails the test with its last words."""
    done = subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=within_s
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@cache
def compose_command() -> list[str]:
    """Return the command of Compose: Docker's own, or the one that came before it."""
    own, before = ["docker", "compose"], ["docker-compose"]
    works = subprocess.run([*own, "version"], capture_output=True, check=False).returncode == 0
    return own if works or not shutil.which(before[0]) else before
