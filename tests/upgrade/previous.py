"""The code of an earlier commit, run beside this one's on the dependencies that are installed."""

import os
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
FROM: Final = os.environ.get("ZEKT_UPGRADE_FROM", "HEAD~1")
MEMBERS: Final = ("libs/common", "services/ingress", "services/identity", "services/router", "services/dispatcher")


class NoHistory(Exception):
    """There is no earlier commit: not a clone, or one of a single commit."""


class NotFetched(Exception):
    """There is an earlier commit, but not here: the clone is shallow, or the name is of nothing."""


def sources_of_previous(directory: Path, members: Sequence[str] = MEMBERS, *, repository: Path = ROOT) -> Path:
    """Put the members of the commit that `ZEKT_UPGRADE_FROM` names (the one before) there, all of it if none is named.

    Returns their root.

    Raises:
        NoHistory: there is none.
        NotFetched: it is not known here.
    """
    archive = directory / "previous.tar"
    done = _git(repository, "archive", "--output", str(archive), FROM, *members)
    if done.returncode != 0:
        unknown = NoHistory if _is_all_there_is(repository) else NotFetched
        raise unknown(f"{FROM} cannot be read: {done.stderr.strip()}")
    root = directory / "previous"
    with tarfile.open(archive) as content:
        content.extractall(root, filter="data")
    return root


def wanted_sources(directory: Path, members: Sequence[str] = MEMBERS) -> Path:
    """Return `sources_of_previous`; without any the test is skipped, where they were not fetched it fails in CI."""
    try:
        return sources_of_previous(directory, members)
    except NoHistory as error:
        pytest.skip(f"the upgrade did NOT run: {error}")
    except NotFetched as error:
        if os.environ.get("CI"):
            pytest.fail(f"fetch the history: {error}")
        pytest.skip(f"the upgrade did NOT run: {error}")


def _is_all_there_is(repository: Path) -> bool:
    """Return whether no commit came before the one that is here, fetched or not."""
    if _git(repository, "rev-parse", "--git-dir").returncode != 0:
        return True
    is_shallow = _git(repository, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"
    return not is_shallow and _git(repository, "rev-list", "--count", "HEAD").stdout.strip() == "1"


def _git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def import_path(root: Path) -> str:
    """Return the `PYTHONPATH` under which the packages come from there."""
    return os.pathsep.join(str(root / member / "src") for member in MEMBERS)
