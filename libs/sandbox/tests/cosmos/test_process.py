import asyncio
import json
import signal
import sys

import pytest
from azure.cosmos.aio import CosmosClient


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "zekt_sandbox.cosmos",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.slow
async def test_the_process_says_when_it_is_ready_and_what_it_is_for() -> None:
    process = await start("--port", "0", "--write-region", "One", "--write-region", "Two", "--key-ranges", "2")
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    async with CosmosClient(ready["url"], credential=ready["key"]) as client:
        await client.create_database("zekt")
        assert [found["id"] async for found in client.list_databases()] == ["zekt"]
    process.send_signal(signal.SIGTERM)
    rest, said = await process.communicate()
    assert process.returncode == 0
    assert rest == b""
    assert b"for tests and local trials" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--host", "0.0.0.0"], b"loopback only"),  # noqa: S104  refused, which is the point
        (["--key", "no base64"], b"Only base64 data is allowed"),
        (["--tls-cert", "/nowhere/cert.pem"], b"No such file"),
    ],
)
async def test_the_process_refuses_what_it_cannot_do(arguments: list[str], reason: bytes) -> None:
    process = await start("--port", "0", *arguments)
    _, said = await process.communicate()
    assert process.returncode == 2
    assert reason in said
