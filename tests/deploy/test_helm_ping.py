"""`helm test` runs a script that ingress takes for GitHub, if and only if it has the App's secret."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.deploy.chart import CASES, CHART, component, of_kind, pods
from tests.ports import free_port
from zekt_common.kit.host import serving
from zekt_common.kit.settings import HostSettings
from zekt_ingress.app import build_service
from zekt_ingress.settings import IngressSettings

SECRET, APP_ID = "the App's own", "12345678"


@pytest.fixture
async def ingress(tmp_path: Path) -> AsyncIterator[str]:
    """A running ingress, by host and port."""
    host = HostSettings(port=0, internal_port=0, data_dir=tmp_path)
    settings = IngressSettings.from_env(
        {"ZEKT_GITHUB_WEBHOOK_SECRETS": f"{SECRET},an older one", "ZEKT_GITHUB_APP_ID": APP_ID}
    )
    own = IngressSettings(**{**vars(settings), "host": host})
    async with serving([build_service(own)], host) as hosted:
        yield urlsplit(hosted.url).netloc


async def pinged(address: str, *, secret: str = SECRET, app_id: str = APP_ID) -> subprocess.CompletedProcess[str]:
    env = {"INGRESS_ADDRESS": address, "ZEKT_GITHUB_WEBHOOK_SECRETS": secret, "ZEKT_GITHUB_APP_ID": app_id}
    command = [sys.executable, str(CHART / "ping.py")]
    return await asyncio.to_thread(
        subprocess.run, command, env=env, capture_output=True, text=True, check=False, timeout=60
    )


async def test_a_signed_ping_is_taken_in_every_time(ingress: str) -> None:
    for _ in range(2):
        ended = await pinged(ingress, secret=f"{SECRET}, another")
        assert ended.returncode == 0
        assert ended.stdout == '202 {"status":"accepted"}\n'


@pytest.mark.parametrize(("secret", "app_id", "status"), [("wrong", APP_ID, "401"), (SECRET, "8", "403")])
async def test_a_ping_that_is_refused_fails_and_says_why(ingress: str, secret: str, app_id: str, status: str) -> None:
    ended = await pinged(ingress, secret=secret, app_id=app_id)
    assert ended.returncode == 1
    assert ended.stdout.startswith(status)
    assert secret not in ended.stdout + ended.stderr


async def test_a_ping_that_nobody_answers_fails() -> None:
    ended = await pinged(f"127.0.0.1:{free_port()}")
    assert ended.returncode == 1
    assert "does not answer" in ended.stdout


@pytest.mark.parametrize("case", CASES)
def test_the_pod_of_the_test_is_given_what_the_script_reads(case: str) -> None:
    (pod,) = [pod for pod in pods(case).values() if component(pod) == "ping"]
    (container,) = pod["spec"]["containers"]
    names = {each["name"] for each in container["env"]}
    assert names == {"INGRESS_ADDRESS", "ZEKT_GITHUB_WEBHOOK_SECRETS", "ZEKT_GITHUB_APP_ID"}
    (script,) = [found for name, found in of_kind(case, "ConfigMap").items() if name.endswith("-ping")]
    assert script["data"]["ping.py"].strip() == (CHART / "ping.py").read_text().strip()
    assert container["command"] == ["python", "/opt/ping/ping.py"]
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
