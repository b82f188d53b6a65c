"""The bill of materials says what an image installs: what the lock file says, by hash."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.composition import DOCKER, ROOT, SERVICES

PACKAGES = [f"zekt-{name}" for name in (*SERVICES, "cli")]
UV = ROOT / ".venv" / "bin" / "uv"
EACH = pytest.mark.parametrize("package", PACKAGES)


def bill(package: str, file: Path) -> dict[str, Any]:
    subprocess.run([str(DOCKER / "sbom"), str(UV), package, str(file)], cwd=ROOT, check=True)
    written: dict[str, Any] = json.loads(file.read_text())
    return written


def locked(package: str) -> set[tuple[str, str]]:
    """Return what is installed for the package from elsewhere, as uv lists it in its other format."""
    command = [
        str(UV),
        "export",
        "--quiet",
        "--frozen",
        "--no-dev",
        "--no-hashes",
        "--no-emit-workspace",
        "--package",
        package,
    ]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"^([\w.-]+)==([^\s;]+)", listed, re.MULTILINE))


@EACH
def test_it_lists_what_is_installed_each_with_its_hash(package: str, tmp_path: Path) -> None:
    found = bill(package, tmp_path / "sbom.json")
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.5")
    assert found["metadata"]["component"]["name"] == package
    others = [each for each in found["components"] if not each["name"].startswith("zekt-")]
    assert {(each["name"], each["version"]) for each in others} == locked(package)
    for each in others:
        assert each["purl"] == f"pkg:pypi/{each['name']}@{each['version']}"
        assert all(file["hashes"][0]["alg"] == "SHA-256" for file in each["externalReferences"])


def test_one_lock_file_gives_one_bill(tmp_path: Path) -> None:
    first, second = (bill("zekt-ingress", tmp_path / name) for name in ("first", "second"))
    assert first == second
    assert sorted(tmp_path.iterdir()) == [tmp_path / "first", tmp_path / "second"]
