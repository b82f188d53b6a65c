"""Checkov's policies for Kubernetes hold over the chart; what is not asked of it is named with its reason."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.deploy.chart import CASES, DIGESTS, manifests, rendered, with_values
from tests.deploy.composition import ROOT

TOOL: Final = ROOT / "tools" / "checkov"
CHECKOV: Final = TOOL / ".venv" / "bin" / "checkov"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Checkov says of the chart rendered in every way, with images by digest as a site pins them."""
    _install()
    directory = tmp_path_factory.mktemp("rendered")
    for case in CASES:
        objects = manifests(with_values(case, DIGESTS))
        (directory / f"{case}.yaml").write_text(yaml.safe_dump_all(objects))
    return _scanned(directory)


def _install() -> None:
    """Install Checkov from its own lock file on first use; without a registry it is skipped, but never in CI."""
    if CHECKOV.exists():
        return
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "sync", "--project", str(TOOL), "--frozen", "--quiet"]
    ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=200)
    if ended.returncode:
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse(f"Checkov could not be installed, so its policies were not looked at: {ended.stderr.strip()[-300:]}")


def _scanned(directory: Path) -> dict[str, Any]:
    command = [str(CHECKOV), "--config-file", str(TOOL / "policy.yaml"), "--directory", str(directory), "-o", "json"]
    env = {"PATH": os.environ["PATH"], "HOME": str(directory), "BC_SKIP_MAPPING": "TRUE"}
    ended = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, check=False, timeout=280)
    assert ended.stdout, ended.stderr
    said: dict[str, Any] = json.loads(ended.stdout)
    return said


def test_no_policy_is_broken(report: dict[str, Any]) -> None:
    failed = report["results"]["failed_checks"]
    assert {(check["check_id"], check["check_name"], check["resource"]) for check in failed} == set()
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 500
    assert report["summary"]["skipped"] == sum(len(_exceptions(case)) for case in CASES)


@pytest.mark.parametrize("case", CASES)
def test_what_one_object_is_excepted_from_has_a_reason(case: str) -> None:
    parted = [text.partition("=") for text in _exceptions(case)]
    assert {policy for policy, _, _ in parted} == {"CKV_K8S_8", "CKV_K8S_9"}
    assert all(reason for _, _, reason in parted)


def test_what_is_asked_of_nothing_has_a_reason() -> None:
    lines = (TOOL / "policy.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if line.strip().startswith("- CKV"):
            assert lines[number - 1].strip().startswith("# ")


def _exceptions(case: str) -> list[str]:
    annotations = [found["metadata"].get("annotations", {}) for found in rendered(case)]
    return [text for each in annotations for name, text in each.items() if name.startswith("checkov.io/skip")]
