"""Whole processes: what `python -m zekt_x` does at its start and its end."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from libs.common.tests.patience import PATIENCE_S

from zekt_common.kit.host import CLOSED_WITHIN_S, DRAINED_WITHIN_S, HEARD_OUT_S, REQUESTS_END_WITHIN_S

pytestmark = pytest.mark.slow

PROGRAM = """
import asyncio, sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from zekt_common.auth.requirements import Public
from zekt_common.errors import StorageUnusable
from zekt_common.kit.errors import json_response
from zekt_common.kit.host import run
from zekt_common.kit.service import Check, Route, Service
from zekt_common.kit.settings import EnvironmentReader, HostSettings

@dataclass(frozen=True)
class Settings:
    host: HostSettings
    mode: str

def read(env):
    reader = EnvironmentReader(env)
    settings = Settings(HostSettings.read(reader), reader.text("MODE", default="fine"))
    reader.check()
    return settings

async def slow(request):
    print("entered", flush=True)
    await asyncio.sleep(0.5)
    return json_response({"status": "done"})

def build(settings):
    @asynccontextmanager
    async def lifespan():
        if settings.mode == "unusable":
            raise StorageUnusable("the disk is gone")
        yield
        print("closed", flush=True)

    async def drain():
        print("drained", flush=True)
        if settings.mode == "stuck":
            await asyncio.sleep(3600)

    async def accepting():
        return [Check(name="open", ok=True)]

    async def checks():
        return []

    route = Route(method="GET", path="/slow", handler=slow, requires=Public())
    return Service(name="trial", routes=[route], lifespan=lifespan, drain=drain, accepting=accepting, checks=checks)

sys.exit(run(read, build))
"""


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ZEKT_", "OTEL_"))}
    own = {"ZEKT_PORT": "0", "ZEKT_INTERNAL_PORT": "0", "ZEKT_DATA_DIR": str(data_dir), "ZEKT_LOG_FORMAT": "json"}
    return inherited | own | more


@asynccontextmanager
async def process(data_dir: Path, **more: str) -> AsyncIterator[Process]:
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, env=environment(data_dir, **more), stdout=PIPE, stderr=PIPE
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def line(started: Process) -> str:
    assert started.stdout is not None
    return (await asyncio.wait_for(started.stdout.readline(), PATIENCE_S)).decode().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_requests_finish_and_ends_in_order(tmp_path: Path, number: signal.Signals) -> None:
    async with process(tmp_path) as started, aiohttp.ClientSession() as http:
        ready = await line(started)
        assert ready.startswith("trial is ready at http://127.0.0.1:")
        url = ready.split()[4]
        request = asyncio.create_task(http.get(f"{url}/slow"))
        assert await line(started) == "entered"
        started.send_signal(number)
        async with await request as response:
            assert response.status == 200
        out, err = await started.communicate()
    assert out.decode().split() == ["drained", "closed"]
    assert started.returncode == 0
    logged = [json.loads(entry) for entry in err.decode().splitlines()]
    assert [entry["event"] for entry in logged] == ["host_ready", "host_stopped"]
    assert {entry["service"] for entry in logged} == {"trial"}


async def test_a_stuck_drain_is_cut_short_so_that_the_end_comes_within_ten_seconds(tmp_path: Path) -> None:
    assert max(HEARD_OUT_S + REQUESTS_END_WITHIN_S, DRAINED_WITHIN_S) + CLOSED_WITHIN_S < 10
    async with process(tmp_path, MODE="stuck") as started:
        await line(started)
        started.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(started.communicate(), PATIENCE_S)
    assert (started.returncode, out.decode().split()) == (0, ["drained", "closed"])
    assert "shutdown_cut_short" in err.decode()


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    async with process(tmp_path, MODE="stuck") as started:
        await line(started)
        started.send_signal(signal.SIGTERM)
        assert await line(started) == "drained"
        started.send_signal(signal.SIGTERM)
        await started.wait()
    assert started.returncode == -signal.SIGTERM


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ({"ZEKT_PORT": "web", "ZEKT_LOG_FORMAT": "xml"}, 2, "zekt: ZEKT_PORT must be a whole number"),
        ({"OTEL_TRACES_EXPORTER": "jaeger"}, 2, "zekt: OTEL_TRACES_EXPORTER must be one of"),
        ({"MODE": "unusable"}, 1, "zekt: the disk is gone"),
        ({"ZEKT_HOST": "203.0.113.7"}, 1, "zekt: cannot listen on 203.0.113.7 port 0:"),
    ],
)
async def test_what_prevents_the_start_is_one_clear_line(
    tmp_path: Path, more: dict[str, str], code: int, message: str
) -> None:
    async with process(tmp_path, **more) as started:
        out, err = await started.communicate()
    assert (started.returncode, out) == (code, b"")
    [said] = err.decode().splitlines()
    assert said.startswith(message)


async def test_a_busy_port_is_one_clear_line(tmp_path: Path) -> None:
    async with process(tmp_path / "one") as first:
        port = (await line(first)).split()[4].rpartition(":")[2]
        async with process(tmp_path / "two", ZEKT_PORT=port) as second:
            _, err = await second.communicate()
    assert second.returncode == 1
    assert err.decode() == (f"zekt: cannot listen on 127.0.0.1 port {port}: it is taken. ZEKT_PORT sets another port\n")
