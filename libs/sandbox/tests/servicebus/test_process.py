import asyncio
import json
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from azure.servicebus import ServiceBusMessage as Message
from azure.servicebus.aio import ServiceBusClient
from libs.sandbox.tests.servicebus.conftest import FAST

CONFIG = {"UserConfig": {"Namespaces": [{"Name": "n", "Topics": [{"Name": "t", "Subscriptions": [{"Name": "s"}]}]}]}}


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "Config.json"
    path.write_text(json.dumps(CONFIG))
    return str(path)


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "zekt_sandbox.servicebus",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.slow
async def test_the_process_says_where_it_listens_and_what_it_is_for(config: str) -> None:
    process = await start("--config", config, "--port", "0")
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    client = ServiceBusClient.from_connection_string(ready["connection_string"], **FAST)
    async with client, client.get_topic_sender("t") as sender:
        await sender.send_messages(Message("x"))
    controls = f"http://127.0.0.1:{ready['control_port']}/"
    async with aiohttp.ClientSession() as session, session.get(controls) as answer:
        shown = await answer.json()
    assert shown["topics"]["t"]["subscriptions"]["s"]["active"] == 1
    assert str(ready["amqp_port"]) in ready["connection_string"]
    assert ready["administration_port"] is None
    process.send_signal(signal.SIGTERM)
    rest, said = await process.communicate()
    assert (process.returncode, rest) == (0, b"")
    assert b"for tests and local trials" in said


@pytest.mark.slow
async def test_the_administration_is_served_over_tls(config: str, certificate: tuple[Path, Path]) -> None:
    pem, key = map(str, certificate)
    process = await start(
        "--config", config, "--port", "0", "--administration-port", "0", "--tls-cert", pem, "--tls-key", key
    )
    assert process.stdout is not None
    assert json.loads(await process.stdout.readline())["administration_port"] > 0
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert process.returncode == 0


@pytest.mark.slow
async def test_the_process_refuses_what_it_cannot_do(config: str) -> None:
    async def refused(*arguments: str) -> bytes:
        process = await start("--config", config, "--port", "0", *arguments)
        _, said = await process.communicate()
        assert process.returncode == 2
        return said

    elsewhere, without_tls, no_certificate, no_config = await asyncio.gather(
        refused("--host", "0.0.0.0"),  # noqa: S104 - refused, which is the point
        refused("--administration-port", "0"),
        refused("--tls-cert", "/nowhere/cert.pem"),
        refused("--config", "/nowhere/Config.json"),
    )
    assert b"loopback only" in elsewhere
    assert b"over TLS only" in without_tls
    assert b"No such file" in no_certificate
    assert b"No such file" in no_config
