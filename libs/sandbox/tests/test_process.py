import asyncio
import json
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def read_private(path: str) -> str:
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    return Path(path).read_text()


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "zekt_sandbox",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def serve_once(state_file: Path, *arguments: str) -> dict[str, Any]:
    """Start the process, read what it says of itself, see that it serves, and end it."""
    process = await start("--port", "0", "--state-file", str(state_file), *arguments)
    assert process.stdout is not None
    ready = (await process.stdout.readline()).decode()
    state: dict[str, Any] = read_json(state_file)
    assert ready == f"zekt-sandbox ready: {state['github']}\n"
    async with aiohttp.ClientSession() as session, session.get(state["github"] + "/_sandbox/credentials") as answer:
        state["credentials"] = await answer.json()
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    await process.communicate()
    return state


@pytest.mark.slow
async def test_the_process_writes_its_state_and_stops_on_sigterm(tmp_path: Path) -> None:
    options = ("--webhook-url", "http://127.0.0.1:1/hook", "--callback-url", "http://127.0.0.1:1/back", "--no-limits")
    state = await serve_once(tmp_path / "sandbox.json", *options)
    assert state["issuer"] == state["github"] + "/oidc"
    assert state["webhookSecret"] == state["credentials"]["webhook_secret"]
    assert state["appId"] == state["credentials"]["app_id"]
    assert state["clientId"] == state["credentials"]["client_id"]
    assert state["clientSecret"] == state["credentials"]["client_secret"]
    assert state["credentials"]["callback_urls"] == ["http://127.0.0.1:1/back"]
    assert read_private(state["privateKeyFile"]) == state["credentials"]["private_key"]


@pytest.mark.slow
async def test_a_restart_with_the_same_options_is_the_same_app(tmp_path: Path) -> None:
    options = ("--private-key-file", str(tmp_path / "app.pem"), "--webhook-secret", "s", "--app-id", "77")
    first = await serve_once(tmp_path / "first.json", *options)
    second = await serve_once(tmp_path / "second.json", *options)
    for name in ("app_id", "private_key", "webhook_secret"):
        assert first["credentials"][name] == second["credentials"][name]


@pytest.mark.slow
async def test_the_process_refuses_to_be_reached_from_outside(tmp_path: Path) -> None:
    state_file = tmp_path / "sandbox.json"
    process = await start("--host", "0.0.0.0", "--state-file", str(state_file))  # noqa: S104  refused, which is the point
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"loopback only" in errors
    assert not state_file.exists()
