"""The container that waits for the emulators tells when all are up; nobody asks in an image that has no shell."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.deploy.composition import FILES, ROOT, SERVICES, composition
from tests.ports import free_port

SCRIPT = ROOT / "deploy" / "emulators" / "ready.py"
OURS = "${ZEKT_IMAGES:-"
HAS_BUSYBOX = re.compile(r"haproxy:[\d.]+-alpine")
"""Alpine's busybox. Service Bus's emulator has no shell at all; nobody promises one for the others."""


@pytest.fixture
async def emulators() -> AsyncIterator[TestServer]:
    """Something that is healthy at one path, and refuses or fails at others."""
    app = web.Application()
    for path, status in (("/health", 200), ("/ill", 503), ("/unknown-caller", 403)):
        app.router.add_get(path, _answering(status))
    server = TestServer(app)
    async with server:
        yield server


def _answering(status: int) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status)

    return answer


async def asked(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False, timeout=60)


async def test_all_are_ready_when_one_is_healthy_and_the_others_answer(emulators: TestServer) -> None:
    healthy, refusing = (str(emulators.make_url(path)) for path in ("/health", "/unknown-caller"))
    ended = await asked("--healthy", healthy, "--answering", refusing, healthy)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("way", "path"), [("--healthy", "/ill"), ("--healthy", "/unknown-caller"), ("--answering", "/ill")]
)
async def test_one_that_is_not_up_is_named(emulators: TestServer, way: str, path: str) -> None:
    url = str(emulators.make_url(path))
    ended = await asked(way, url)
    assert (ended.returncode, ended.stderr) == (1, f"{url} is not ready\n")


@pytest.mark.parametrize("way", ["--healthy", "--answering"])
async def test_nothing_is_ready_where_nothing_listens(way: str) -> None:
    assert (await asked(way, f"http://127.0.0.1:{free_port()}/health")).returncode == 1


def checked() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every part of the files that has a health check, with the file's name."""
    for name in (*FILES, "deploy/observability/compose.yaml"):
        for part in composition(name)["services"].values():
            if "healthcheck" in part:
                yield name, part


def test_an_image_that_is_not_ours_is_asked_only_with_what_it_is_known_to_have() -> None:
    foreign = [part for _, part in checked() if not part["image"].startswith(OURS)]
    assert foreign
    for part in foreign:
        assert HAS_BUSYBOX.search(part["image"])
        kind, command = part["healthcheck"]["test"]
        assert (kind, command.split()[0]) == ("CMD-SHELL", "test")
        assert command.split("; ")[-1].split()[0] == "wget"


def test_everything_waits_for_the_container_that_asks_for_the_emulators() -> None:
    services = composition("docker-compose.yml")["services"]
    asking = services["emulators"]
    assert asking["image"].startswith(f"{OURS}zekt}}/cli:")
    assert {"servicebus", "cosmos", "azurite"} < set(asking["depends_on"])
    for part in (*SERVICES, "provision"):
        assert services[part]["depends_on"]["emulators"] == {"condition": "service_healthy"}, part
    for part in ("servicebus", "sql", "cosmos", "azurite", *SERVICES):
        assert services[part]["restart"] == "unless-stopped", part


def test_the_emulators_are_asked_for_where_the_services_find_them() -> None:
    services = composition("docker-compose.yml")["services"]
    asking = services["emulators"]
    assert asking["volumes"] == ["./deploy/emulators/ready.py:/opt/zekt/emulators.py:ro"]
    command, *arguments = asking["healthcheck"]["test"][2:]
    assert command == "/opt/zekt/emulators.py"
    assert arguments == [
        "--healthy",
        "http://servicebus:5300/health",
        "--answering",
        services["ingress"]["environment"]["ZEKT_COSMOS_ENDPOINT"],
        "http://azurite:10000/devstoreaccount1",
    ]
    assert arguments[-1] in services["ingress"]["environment"]["ZEKT_BLOB_CONNECTION"]
    assert asking["network_mode"] == services["cosmos"]["network_mode"] == "service:network"
