"""A tag is a release only if it is the project's version and the changelog tells of it."""

import subprocess
import sys
import tomllib

import pytest

from tests.deploy.composition import ROOT
from tools.release.notes import notes_of, problems

PROJECT = '[project]\nname = "zekt"\nversion = "1.2.3"\n'
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [1.2.3]\n\n### Added\n\n- A thing.\n\n## [1.2.2]\n\n- Old.\n"


def test_notes_are_what_stands_below_the_versions_heading() -> None:
    assert notes_of("1.2.3", CHANGELOG) == "### Added\n\n- A thing."
    assert notes_of("1.2.2", CHANGELOG) == "- Old."
    assert notes_of("1.2", CHANGELOG) == ""


def test_a_tag_of_the_projects_version_that_the_changelog_tells_of_is_a_release() -> None:
    assert problems("v1.2.3", PROJECT, CHANGELOG) == []


@pytest.mark.parametrize(
    ("tag", "changelog", "said"),
    [
        ("v1.2.2", CHANGELOG, ["v1.2.2 names another version than pyproject.toml, which is 1.2.3"]),
        ("v1.2.3", "## [Unreleased]\n\n- A thing.\n", ["CHANGELOG.md says nothing of 1.2.3"]),
        ("v1.2.3", "## [1.2.3]\n\n## [1.2.2]\n\n- Old.\n", ["CHANGELOG.md says nothing of 1.2.3"]),
        ("1.2.3", CHANGELOG, ["1.2.3 is no tag of a release, as v1.2.3 is"]),
        ("v1.2.3-rc1", CHANGELOG, ["v1.2.3-rc1 is no tag of a release, as v1.2.3 is"]),
    ],
)
def test_what_speaks_against_a_release_is_said(tag: str, changelog: str, said: list[str]) -> None:
    assert problems(tag, PROJECT, changelog) == said


def test_the_script_refuses_a_version_that_this_project_is_not() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    command = [sys.executable, str(ROOT / "tools" / "release" / "notes.py"), "v0.0.0"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"which is {version}\n" in ended.stderr
