"""The code of an earlier commit, run beside this one's on the dependencies that are installed."""

import os
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
FROM: Final = os.environ.get("ZEKT_UPGRADE_FROM", "HEAD~1")
MEMBERS: Final = ("libs/common", "services/ingress", "services/identity", "services/router", "services/dispatcher")


class NoHistory(Exception):
    """There is no earlier commit here: not a clone, or one of a single commit."""


def sources_of_previous(directory: Path, members: Sequence[str] = MEMBERS) -> Path:
    """Put the members of the commit that `ZEKT_UPGRADE_FROM` names (the one before) there, all of it if none is named.

    Returns their root.

    Raises:
        NoHistory: it is not known here.
    """
    archive = directory / "previous.tar"
    command = ["git", "-C", str(ROOT), "archive", "--output", str(archive), FROM, *members]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoHistory(f"{FROM} cannot be read: {done.stderr.strip()}")
    root = directory / "previous"
    with tarfile.open(archive) as content:
        content.extractall(root, filter="data")
    return root


def import_path(root: Path) -> str:
    """Return the `PYTHONPATH` under which the packages come from there."""
    return os.pathsep.join(str(root / member / "src") for member in MEMBERS)
