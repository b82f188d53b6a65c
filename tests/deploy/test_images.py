"""The Dockerfile keeps its rules, and the health check tells a service that takes requests from one that does not."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.deploy.composition import DOCKER, ROOT, SERVICES

DOCKERFILE = (DOCKER / "Dockerfile").read_text()
UV = re.compile(r"^(?:UV_VERSION :=|ARG UV_VERSION=) *(\S+)$", re.MULTILINE)


def stage(name: str) -> str:
    """Return the instructions of one stage."""
    return next(part for part in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE) if f" AS {name}\n" in part)


def test_no_registry_is_asked_for_a_syntax() -> None:
    assert "# syntax" not in DOCKERFILE.lower()


def test_every_foreign_layer_is_the_image_that_the_builder_names() -> None:
    found = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    own = set(re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, re.MULTILINE))
    assert set(found) - own == {"${BASE_IMAGE}"}


def test_no_image_runs_as_root() -> None:
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert "USER" in stage("runtime")
    for shipped in ("service", "cli"):
        assert stage(shipped).startswith("runtime ")


def test_what_is_installed_is_what_the_lock_file_says() -> None:
    syncs = re.findall(r"uv sync (.*)", DOCKERFILE)
    assert syncs
    assert all("--frozen" in sync and "--no-dev" in sync for sync in syncs)


@pytest.mark.parametrize("shipped", ["runtime", "service", "cli"])
def test_what_is_shipped_holds_no_build_tool(shipped: str) -> None:
    for tool in ("apt", "pip install", "gcc", "/opt/uv", "build-essential"):
        assert tool not in stage(shipped), tool


def test_what_the_base_image_brings_for_installing_is_taken_out() -> None:
    assert "rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip*" in stage("runtime")


def test_an_image_holds_its_bill_of_materials() -> None:
    for built, package in (("build-service", '"zekt-${SERVICE}"'), ("build-cli", "zekt-cli")):
        assert f"/opt/uv/bin/sbom /opt/uv/bin/uv {package} /opt/zekt/sbom.json" in stage(built)


def test_a_builder_that_makes_every_stage_before_the_wanted_one_needs_no_service_for_the_command_line() -> None:
    assert "${SERVICE}" not in DOCKERFILE[: DOCKERFILE.index(stage("build-service"))].partition("FROM ")[2]


def test_an_image_says_how_healthy_its_service_is_and_where_it_comes_from() -> None:
    assert "HEALTHCHECK" in stage("service")
    assert '"python", "/opt/zekt/accepting.py"' in stage("service")
    for label in ("licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}" in stage("runtime")


def test_images_are_built_by_the_uv_that_the_makefile_installs() -> None:
    assert UV.findall(DOCKERFILE) == UV.findall((ROOT / "Makefile").read_text())


def test_an_image_is_as_old_as_the_commit_that_it_is_made_of() -> None:
    """BuildKit takes its times from there, so that building the same again does not look like something new."""
    (building,) = re.findall(r"^BUILD := .*\n.*$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert "--build-arg SOURCE_DATE_EPOCH=$(shell git log -1 --format=%ct)" in building


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_in_its_image_is_started_by_the_module_that_exists(service: str) -> None:
    assert "python -m zekt_%s" in stage("build-service")
    assert (ROOT / "services" / service / "src" / f"zekt_{service}" / "__main__.py").exists()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
async def test_the_health_check_asks_the_service_whether_it_takes_requests(status: int, code: int) -> None:
    async def accepting(_request: web.Request) -> web.Response:
        return web.json_response({"status": "stated"}, status=status)

    app = web.Application()
    app.router.add_get("/accepting", accepting)
    async with TestServer(app) as server:
        checked = await _checked(server.port)
    assert checked.returncode == code
    assert ("stated" in checked.stderr) == (code == 1)


async def test_the_health_check_fails_where_nothing_listens() -> None:
    async with TestServer(web.Application()) as server:
        port = server.port
    checked = await _checked(port)
    assert checked.returncode == 1
    assert "does not answer" in checked.stderr


async def _checked(port: int | None) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(_run_check, port)


def _run_check(port: int | None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(Path(DOCKER / "accepting.py"))]
    return subprocess.run(command, env={"ZEKT_PORT": str(port)}, capture_output=True, text=True, check=False)
