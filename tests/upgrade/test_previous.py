"""Where the earlier code is not to be had, it is known whether there is none or it was not fetched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.upgrade import previous as earlier
from tests.upgrade.previous import MEMBERS, NoHistory, NotFetched, import_path, sources_of_previous, wanted_sources


def git(at: Path, *arguments: str) -> None:
    command = ["git", "-C", str(at), *arguments]
    subprocess.run(command, check=True, capture_output=True)


def repository(at: Path, commits: int) -> Path:
    """Make a repository of so many commits."""
    at.mkdir()
    git(at, "init", "--quiet")
    for number in range(commits):
        (at / "file").write_text(str(number))
        git(at, "add", "file")
        git(at, "-c", "user.name=n", "-c", "user.email=e@example.com", "commit", "--quiet", "-m", str(number))
    return at


def test_the_commit_before_is_put_there_with_what_it_had(tmp_path: Path) -> None:
    root = sources_of_previous(tmp_path, (), repository=repository(tmp_path / "two", 2))
    assert (root / "file").read_text() == "0"


def test_a_repository_of_one_commit_has_no_history(tmp_path: Path) -> None:
    with pytest.raises(NoHistory):
        sources_of_previous(tmp_path, (), repository=repository(tmp_path / "one", 1))


def test_a_directory_that_is_no_clone_has_no_history(tmp_path: Path) -> None:
    with pytest.raises(NoHistory):
        sources_of_previous(tmp_path, (), repository=tmp_path)


def test_a_shallow_clone_has_a_history_that_was_not_fetched(tmp_path: Path) -> None:
    whole, shallow = repository(tmp_path / "two", 2), tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", whole.as_uri(), str(shallow))
    with pytest.raises(NotFetched):
        sources_of_previous(tmp_path, (), repository=shallow)


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_in_ci_an_upgrade_from_what_was_not_fetched_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(earlier, "FROM", "no-such-commit")
    with pytest.raises(outcome):
        wanted_sources(tmp_path)


@pytest.mark.parametrize("member", MEMBERS)
def test_what_runs_before_the_upgrade_is_the_earlier_code(previous: Path, member: str) -> None:
    package = f"zekt_{member.split('/')[1]}"
    show = [sys.executable, "-c", f"import {package}; print({package}.__file__)"]
    shown = subprocess.run(
        show, env=os.environ | {"PYTHONPATH": import_path(previous)}, capture_output=True, text=True, check=True
    )
    assert Path(shown.stdout.strip()).is_relative_to(previous / member)
