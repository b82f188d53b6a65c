"""The workflows trust nothing by name alone, may do no more than they must, and run what anybody can run."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.composition import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RELEASE = ROOT / ".github" / "workflows" / "release.yml"
EACH = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
USES = re.compile(r"uses: (\S+)(.*)")
PINNED = re.compile(r"[\w.-]+(?:/[\w.-]+)+@[0-9a-f]{40}")
VERSION = re.compile(r" # v\d+\.\d+\.\d+")
WRITES = {"release.yml": {"packages", "id-token", "attestations", "contents"}, "codeql.yml": {"security-events"}}
TARGET = re.compile(r"^([a-z%-]+):", re.MULTILINE)


def workflow(path: Path) -> Mapping[str, Any]:
    # YAML reads the key `on` as true, so it is left out of what the tests look at.
    content: Mapping[str, Any] = yaml.safe_load(path.read_text())
    return content


def jobs(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = workflow(path)["jobs"]
    return found


def steps(path: Path) -> Iterator[Mapping[str, Any]]:
    for job in jobs(path).values():
        yield from job.get("steps", ())


def test_there_is_a_workflow_for_everything_that_is_promised() -> None:
    assert [path.stem for path in WORKFLOWS] == ["ci", "codeql", "dependency-review", "release"]
    (ci,) = (path for path in WORKFLOWS if path.stem == "ci")
    assert list(jobs(ci)) == ["check", "test", "emulators", "images", "chart"]


@EACH
def test_every_action_is_pinned_by_its_commit_and_names_its_version(path: Path) -> None:
    for name, comment in USES.findall(path.read_text()):
        assert name.startswith("./") or (PINNED.fullmatch(name) and VERSION.fullmatch(comment)), name


def test_one_commit_is_used_of_each_action() -> None:
    found = {name for path in WORKFLOWS for name, _ in USES.findall(path.read_text()) if not name.startswith("./")}
    actions = {"/".join(name.partition("@")[0].split("/")[:2]): name.partition("@")[2] for name in found}
    assert {name.partition("@")[2] for name in found} == set(actions.values())


@EACH
def test_a_job_may_do_only_what_it_says(path: Path) -> None:
    assert workflow(path)["permissions"] == {}
    for name, job in jobs(path).items():
        writes = {scope for scope, access in job["permissions"].items() if access == "write"}
        assert writes <= WRITES.get(path.name, set()), name


@EACH
def test_the_token_stays_out_of_the_checkout(path: Path) -> None:
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@EACH
def test_no_job_runs_for_hours_or_on_a_machine_that_changes(path: Path) -> None:
    for name, job in jobs(path).items():
        if "uses" not in job:
            assert job["timeout-minutes"] <= 60, name
            assert job["runs-on"] == "ubuntu-24.04", name


@EACH
def test_what_others_write_reaches_no_shell(path: Path) -> None:
    assert "pull_request_target" not in path.read_text()
    for step in steps(path):
        assert "${{" not in step.get("run", ""), step


@EACH
def test_the_targets_that_are_made_exist(path: Path) -> None:
    known = set(TARGET.findall((ROOT / "Makefile").read_text()))
    for step in steps(path):
        for line in re.findall(r"^\s*make (.*)$", step.get("run", ""), re.MULTILINE):
            asked = {word for word in line.split() if "=" not in word}
            assert {"image-%" if word.startswith('"image-') else word for word in asked} <= known, line


def test_what_no_tool_here_can_look_at_is_looked_at_by_ci() -> None:
    """The compiler of Bicep and the emulators' images are nowhere but there."""
    (ci,) = (path for path in WORKFLOWS if path.stem == "ci")
    run = "\n".join(step.get("run", "") for step in steps(ci))
    assert "az bicep build --file deploy/azure/main.bicep" in run
    assert "az bicep build-params --file deploy/azure/example.bicepparam" in run
    assert "docker compose up --wait" in run


def test_what_lands_is_what_ci_runs() -> None:
    landing = re.findall(r"^make (\S+)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    (ci,) = (path for path in WORKFLOWS if path.stem == "ci")
    assert {f"make {target}" for target in landing} <= {step.get("run") for step in steps(ci)}


def test_a_release_is_signed_and_says_how_it_was_made_and_of_what() -> None:
    text = RELEASE.read_text()
    told = ("actions/attest-build-provenance@", "actions/attest@", "sbom-path: ", "anchore/sbom-action@")
    for part in ("cosign sign", *told):
        assert part in text, part


def test_nothing_is_released_before_the_tag_is_looked_at() -> None:
    found = jobs(RELEASE)
    first, *others = found
    (looking,) = [step["run"] for step in found[first]["steps"] if "run" in step]
    assert looking == 'python3 tools/release/notes.py "$GITHUB_REF_NAME"'
    assert all(first in _before(name, found) for name in others)


def _before(name: str, among: Mapping[str, Any]) -> set[str]:
    """Return the jobs that have to pass before this one begins."""
    needed = among[name].get("needs", [])
    direct = {needed} if isinstance(needed, str) else set(needed)
    return direct | {each for job in direct for each in _before(job, among)}


def test_a_releases_chart_names_the_images_of_that_release(tmp_path: Path) -> None:
    (values,) = re.findall(r"\S+/values\.yaml", _packaging()[-1])
    (tmp_path / values).parent.mkdir(parents=True)
    shutil.copy(ROOT / values, tmp_path / values)
    env = {"GITHUB_REPOSITORY": "Somebody/Zekt", "PATH": os.environ["PATH"]}
    script = "\n".join(_packaging())
    subprocess.run(["/bin/bash", "-ec", script], cwd=tmp_path, env=env, check=True)
    before, after = (yaml.safe_load((place / values).read_text()) for place in (ROOT, tmp_path))
    assert before["image"]["prefix"] == ""
    assert after == {**before, "image": {**before["image"], "prefix": "ghcr.io/somebody/zekt"}}


def _packaging() -> list[str]:
    """Return what the release does to the chart before it is packaged."""
    (step,) = (step for step in steps(RELEASE) if step.get("name") == "Package and push")
    return [line for line in step["run"].splitlines() if line.startswith(("prefix=", "sed ", "grep "))]


def test_every_lock_and_every_image_is_kept_up_to_date() -> None:
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    watched = {
        (update["package-ecosystem"], directory.strip("/"))
        for update in updates
        for directory in update.get("directories", [update.get("directory")])
    }
    python = {("uv", _inside(lock)) for lock in (ROOT / "uv.lock", *ROOT.glob("tools/*/uv.lock"))}
    node = {("npm", _inside(lock)) for lock in ROOT.glob("tools/*/package-lock.json")}
    images = {("docker", "deploy/docker"), ("docker-compose", ""), ("docker-compose", "deploy/observability")}
    assert watched == python | node | images | {("github-actions", "")}


@pytest.mark.parametrize("lock", sorted(ROOT.glob("tools/*/package-lock.json")), ids=lambda path: path.parent.name)
def test_what_a_tool_is_made_of_is_fixed_by_its_hash(lock: Path) -> None:
    packages = json.loads(lock.read_text())["packages"]
    for name, package in packages.items():
        assert not name or package["integrity"].startswith("sha512-"), name
        assert package.get("resolved", "https://registry.npmjs.org/").startswith("https://registry.npmjs.org/"), name


def _inside(lock: Path) -> str:
    return "" if lock.parent == ROOT else str(lock.parent.relative_to(ROOT))
