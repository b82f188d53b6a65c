import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.tests.conftest import Zekt, environment
from libs.common.tests.azure.azurite import azurite_or_skip

from tests.ports import free_port
from zekt_sandbox.azurite import Azurite

PORTS = {"ZEKT_PORT": "0", "ZEKT_INTERNAL_PORT": "0", "ZEKT_SANDBOX_PORT": "0"}
STARTS_WITHIN_S = 90


@pytest.fixture(scope="module")
def azurite() -> Iterator[Azurite]:
    """Azurite, installed, and running for those who look at how it is refused."""
    with azurite_or_skip() as running:
        yield running


@pytest.mark.slow
@pytest.mark.usefixtures("azurite")
def test_the_demo_verifies_the_main_job_on_azure(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "zekt_cli", "demo", "--backend", "azure", "--json"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=2 * STARTS_WITHIN_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result = json.loads(ended.stdout)
    assert [sent["repository"] for sent in result["dispatches"]] == ["beta/consumer", "gamma/consumer"]
    assert {step["service"] for step in result["trace"]} == {"ingress", "router", "dispatcher"}


def test_azure_without_its_settings_is_one_line_that_names_them_all(zekt: Zekt) -> None:
    ended = zekt("up", "--backend", "azure", **PORTS)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    for name in ("ZEKT_SERVICEBUS_CONNECTION", "ZEKT_COSMOS_ENDPOINT", "ZEKT_BLOB_CONNECTION", "ZEKT_GITHUB_APP_ID"):
        assert ended.stderr.count(f"{name} is not set") == 1


def test_settings_of_azure_without_choosing_it_are_refused(zekt: Zekt) -> None:
    ended = zekt("up", ZEKT_COSMOS_ENDPOINT="https://zekt.documents.azure.com", **PORTS)
    assert ended.returncode == 2
    assert "ZEKT_BACKEND is not set in spite of ZEKT_COSMOS_ENDPOINT" in ended.stderr


def test_an_endpoint_out_of_reach_ends_the_suite_with_one_line(zekt: Zekt, azurite: Azurite) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    ended = zekt(
        "up",
        *("--backend", "azure", "--sandbox"),
        ZEKT_SERVICEBUS_CONNECTION=f"Endpoint=sb://{nobody};SharedAccessKeyName=zekt;SharedAccessKey=c2VjcmV0;"
        "UseDevelopmentEmulator=true",
        ZEKT_BLOB_CONNECTION=azurite.connection_string,
        **PORTS,
    )
    said = ended.stderr.strip().splitlines()[-1]
    assert ended.returncode == 1
    assert said.startswith("zekt: ")
    assert "ZEKT_SERVICEBUS_CONNECTION" in said
    assert "c2VjcmV0" not in ended.stderr
