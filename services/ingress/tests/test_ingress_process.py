"""Ingress as a process of its own: how it starts, refuses to start, ends, and what a kill leaves."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from zekt_common.adapters.embedded import open_backend
from zekt_ingress.webhook import WEBHOOK_SCHEMAS, WebhookReceived
from zekt_sandbox import Hook, webhook_headers

pytestmark = pytest.mark.slow

PATIENCE_S = 60.0
APP_ID = 900001
SECRET = "a-webhook-secret"
HOOK = Hook(1, "http://unused.test", SECRET, "integration", APP_ID)
WEBHOOKS = 400
RELEASE = ("-m", "zekt_ingress")
NEWER_RELEASE = (
    "-c",
    """
import runpy
from zekt_ingress.webhook import WebhookReceived

WebhookReceived.SCHEMA_VERSION = 2
runpy.run_module("zekt_ingress", run_name="__main__")
""",
)


def environment(data_dir: Path, **changes: str) -> dict[str, str]:
    own = {
        "ZEKT_PORT": "0",
        "ZEKT_INTERNAL_PORT": "0",
        "ZEKT_DATA_DIR": str(data_dir),
        "ZEKT_GITHUB_APP_ID": str(APP_ID),
        "ZEKT_GITHUB_WEBHOOK_SECRETS": SECRET,
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ZEKT_", "OTEL_"))}
    return inherited | own | changes


@asynccontextmanager
async def process(env: dict[str, str], program: Sequence[str] = RELEASE) -> AsyncIterator[Process]:
    started = await asyncio.create_subprocess_exec(sys.executable, *program, env=env, stdout=PIPE, stderr=PIPE)
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def url_of(started: Process) -> str:
    assert started.stdout is not None
    line = (await asyncio.wait_for(started.stdout.readline(), PATIENCE_S)).decode()
    assert line.startswith("ingress is ready at http://127.0.0.1:")
    return line.split()[4]


async def take_webhook(started: Process, number: int) -> None:
    """Have the process acknowledge a webhook of its own."""
    body = b'{"action":"opened","repository":{"id":7,"owner":{"id":7}}}'
    headers = webhook_headers(HOOK, event="issues", guid=f"guid-{number}", body=body)
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{await url_of(started)}/webhooks/github", data=body, headers=headers) as response,
    ):
        assert response.status == 202


async def test_without_a_webhook_secret_it_does_not_start(tmp_path: Path) -> None:
    async with process(environment(tmp_path, ZEKT_GITHUB_WEBHOOK_SECRETS="")) as started:
        out, err = await asyncio.wait_for(started.communicate(), PATIENCE_S)
    assert (started.returncode, out) == (2, b"")
    (line,) = err.decode().splitlines()
    assert "ZEKT_GITHUB_WEBHOOK_SECRETS is not set, nor is ZEKT_WEBHOOK_MASTER_KEYS" in line


async def test_it_ends_in_good_order_and_logs_no_secret(tmp_path: Path) -> None:
    async with process(environment(tmp_path)) as started:
        await url_of(started)
        started.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(started.communicate(), PATIENCE_S)
    assert started.returncode == 0
    assert SECRET not in err.decode()


async def test_what_a_newer_release_has_stored_is_refused_in_one_line(tmp_path: Path) -> None:
    env = environment(tmp_path)
    for number, program in enumerate((RELEASE, NEWER_RELEASE)):
        async with process(env, program) as started:
            await take_webhook(started, number)
    async with process(env) as refused:
        out, err = await asyncio.wait_for(refused.communicate(), PATIENCE_S)
    assert (refused.returncode, out) == (1, b"")
    assert err.decode() == (
        f"zekt: {tmp_path}/ingress.db was written by a newer Zekt: it holds dev.zekt.webhook.received in schema "
        "version 2, and this release of Zekt reads no newer one than 1: install the release that stored it, or a newer "
        "one\n"
    )
    async with process(env, NEWER_RELEASE) as again:
        await take_webhook(again, 2)


async def test_a_release_goes_on_beside_a_newer_one_that_has_stored_nothing_new(tmp_path: Path) -> None:
    env = environment(tmp_path)
    async with process(env, NEWER_RELEASE) as newer:
        await url_of(newer)
        for number in range(2):
            async with process(env) as older:
                await take_webhook(older, number)
    async with process(env) as older:
        await take_webhook(older, 2)


async def test_whatever_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    async with process(environment(tmp_path)) as started, aiohttp.ClientSession() as http:
        url = f"{await url_of(started)}/webhooks/github"

        async def send(number: int) -> None:
            body = b'{"action":"opened","repository":{"id":%d,"owner":{"id":7}}}' % (number + 1)
            headers = webhook_headers(HOOK, event="issues", guid=f"guid-{number}", body=body)
            async with http.post(url, data=body, headers=headers) as response:
                assert response.status == 202
                acknowledged.add(f"webhook/{APP_ID}/guid-{number}")
                if len(acknowledged) == WEBHOOKS // 4:
                    started.kill()

        results = await asyncio.gather(*(send(number) for number in range(WEBHOOKS)), return_exceptions=True)
        assert any(isinstance(result, aiohttp.ClientError) for result in results)
    assert len(acknowledged) >= WEBHOOKS // 4
    async with open_backend(tmp_path, "ingress") as backend:
        for stream in acknowledged:
            (stored,) = await backend.store.read(stream)
            webhook = WEBHOOK_SCHEMAS.decode(stored)
            assert isinstance(webhook, WebhookReceived)
            body = await backend.payloads.get(7, webhook.payload.sha256)
            assert len(body) == webhook.payload.size_bytes
