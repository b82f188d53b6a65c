"""The command line over services that answer at a URL each, as behind `kubectl port-forward`."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.catalogs import PROVIDER, WORKFLOW, catalog
from tests.e2e.engines import in_four_processes
from tests.e2e.messages import ARRIVES_WITHIN_S
from tests.e2e.suite import SERVICES, Suite
from zekt_sandbox import GitHubSandbox


async def zekt(suite: Suite, urls: Sequence[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command with the operator token of the suite's data directory."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ZEKT_")}
    env = {**inherited, "ZEKT_URL": " ".join(urls), "ZEKT_DATA_DIR": str(suite.data_dir)}
    command = [sys.executable, "-m", "zekt_cli", *arguments]
    return await asyncio.to_thread(
        subprocess.run, command, env=env, capture_output=True, text=True, timeout=120, check=False
    )


async def answer(suite: Suite, *arguments: str) -> Any:
    """Return what the command prints as JSON, asking each service at its own URL; it has to succeed."""
    ended = await zekt(suite, [f"{name}={suite.url(name)}" for name in SERVICES], *arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.slow
@in_four_processes
async def test_one_command_line_operates_four_services_at_four_urls(
    suite: Suite, sandbox: GitHubSandbox, tmp_path: Path
) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text(json.dumps({"apiVersion": "zekt.dev/v1", **catalog()}))
    assert (await answer(suite, "apply", "-f", str(file)))["positions"]
    run, _ = await sandbox.run_workflow(PROVIDER, WORKFLOW)
    assert await sandbox.wait_for_dispatches(2, timeout_s=ARRIVES_WITHIN_S)
    shown = await answer(suite, "status")
    assert (shown["status"], set(shown["services"])) == ("ready", set(SERVICES))
    assert {check["name"].partition(".")[0] for check in shown["checks"]} == set(SERVICES)
    async with asyncio.timeout(ARRIVES_WITHIN_S):
        while len(deliveries := (await answer(suite, "deliveries"))["deliveries"]) < 2:
            continue  # the list follows what is stored
    assert len(deliveries) == 2
    traced = await answer(suite, "trace", deliveries[0]["id"])
    assert {step["service"] for step in traced["steps"]} == {"ingress", "router", "dispatcher"}
    assert traced["correlationId"].endswith(f"/{run.id}")
    rewound = await answer(suite, "relay", "rewind", "--from", "2020-01-01")
    assert set(rewound["services"]) == {"ingress", "identity", "router"}


@pytest.mark.slow
@in_four_processes
async def test_a_service_that_nothing_says_the_url_of_is_named(suite: Suite) -> None:
    only = [f"ingress={suite.url('ingress')}"]
    rewound = await zekt(suite, only, "relay", "rewind", "--from", "2020-01-01", "--service", "ingress")
    assert rewound.returncode == 0, rewound.stderr
    ended = await zekt(suite, only, "status")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "zekt: nothing says where identity is: say so with --url identity=URL\n"
