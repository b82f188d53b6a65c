"""Print what CHANGELOG.md says of the version that a tag such as v1.2.3 names; exit 1 if it is not one to release."""

import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
TAG: Final = re.compile(r"v(?P<version>\d+\.\d+\.\d+)")


def notes_of(version: str, changelog: str) -> str:
    """Return the version's section without its heading; empty if there is none, or nothing in it."""
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)
    found = [section for section in sections if section.startswith(f"[{version}]")]
    return found[0].partition("\n")[2].strip() if found else ""


def problems(tag: str, project: str, changelog: str) -> Sequence[str]:
    """Say what speaks against a release under this tag."""
    named = TAG.fullmatch(tag)
    if named is None:
        return [f"{tag} is no tag of a release, as v1.2.3 is"]
    version, own = named["version"], tomllib.loads(project)["project"]["version"]
    found = [] if own == version else [f"{tag} names another version than pyproject.toml, which is {own}"]
    return found if notes_of(version, changelog) else [*found, f"CHANGELOG.md says nothing of {version}"]


if __name__ == "__main__":
    given = sys.argv[1]
    changes = (ROOT / "CHANGELOG.md").read_text()
    against = problems(given, (ROOT / "pyproject.toml").read_text(), changes)
    sys.stderr.writelines(f"{problem}\n" for problem in against)
    if not against:
        sys.stdout.write(f"{notes_of(given.removeprefix('v'), changes)}\n")
    sys.exit(bool(against))
