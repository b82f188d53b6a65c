"""A webhook whose body does not arrive is given up, and nothing of it is kept."""

import asyncio
from urllib.parse import urlsplit

import pytest

from zekt_ingress import bodies

from .conftest import Running, Sender

LENGTHS = [
    f"Content-Length: {bodies.SMALL_BYTES}",
    f"Content-Length: {bodies.SMALL_BYTES + 1}",
    "Transfer-Encoding: chunked",
]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("length", LENGTHS)
async def test_a_body_that_does_not_arrive_in_time_is_408(
    running: Running, sender: Sender, monkeypatch: pytest.MonkeyPatch, length: str
) -> None:
    monkeypatch.setattr(bodies, "BODY_WITHIN_S", 0.05)
    url = urlsplit(running.hosted.url)
    signed = [f"{name}: {value}" for name, value in sender.headers(b"{}").items()]
    head = ["POST /webhooks/github HTTP/1.1", f"Host: {url.netloc}", length, *signed, "", ""]
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    async with asyncio.timeout(60):
        writer.write("\r\n".join(head).encode())
        answered = await reader.readuntil(b"\r\n\r\n")
        told = await reader.readuntil(b"}")
    writer.close()
    await writer.wait_closed()
    assert answered.startswith(b"HTTP/1.1 408 ")
    assert b'"error":"body_too_slow"' in told
