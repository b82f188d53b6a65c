"""The first steps are taken as they are written."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from zekt_cli.hosting.child import child
from zekt_cli.suite import SANDBOX_FILE

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "first-steps.md"
BLOCK: Final = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PORTS: Final = dict.fromkeys(("ZEKT_PORT", "ZEKT_INTERNAL_PORT", "ZEKT_SANDBOX_PORT"), "0")
START: Final = ["make setup", ".venv/bin/zekt up --sandbox"]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of the second terminal, beside a suite of its own on free ports."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ZEKT_", "OTEL_"))}
    env = {**inherited, **PORTS, "ZEKT_DATA_DIR": str(tmp_path / "data")}
    with child(["zekt_cli", "up", "--sandbox"], log=tmp_path / "suite.log", ends_within_s=12, env=env) as started:
        started.ready_line(120)
        github = json.loads((tmp_path / "data" / SANDBOX_FILE).read_text())["github"]
        yield {**env, "ZEKT_SANDBOX_URL": github, "COLUMNS": "200"}


def taken(steps: list[str], env: dict[str, str]) -> str:
    """Take the steps in one shell, with this interpreter's programs in place of those that `make setup` leaves."""
    programs = f"{Path(sys.executable).parent}/"
    script = "\n".join(["set -eu", *(step.replace(".venv/bin/", programs) for step in steps)])
    done = subprocess.run(
        ["/bin/sh", "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_first_steps_end_in_a_dispatch(shell: dict[str, str]) -> None:
    first, *others = BLOCK.findall(PAGE.read_text())
    assert first.splitlines() == START
    said = taken(others, shell)
    assert said.count("nothing to change\n") == 1
    assert '"event_type": "zekt-workflow-completed"' in said
    assert "run 800000001/4711\n" in said
    assert re.search(r" dispatched .* beta/consumer ", said)


def test_a_control_that_is_refused_says_why(shell: dict[str, str]) -> None:
    call = [sys.executable, "-m", "zekt_sandbox.call", "POST", "installations", '{"account": "nobody"}']
    refused = subprocess.run(call, env=shell, capture_output=True, text=True, timeout=300, check=False)
    assert refused.returncode == 1
    assert json.loads(refused.stderr)["error"] == "unknown"


def test_without_a_stand_in_a_control_says_where_it_looked() -> None:
    call = [sys.executable, "-m", "zekt_sandbox.call", "--at", "http://127.0.0.1:9", "GET", "dispatches"]
    alone = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)
    assert (alone.returncode, alone.stderr.startswith("zekt-sandbox: nobody answers at http://127.0.0.1:9")) == (
        3,
        True,
    )
