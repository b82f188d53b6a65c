import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from zekt_common.auth.webhook_secrets import repository_secret
from zekt_sandbox import sign

from .conftest import (
    MASTER_KEY,
    OWNER_ID,
    REPOSITORY_ID,
    Running,
    Sender,
)


@pytest.mark.usefixtures("untouched")
async def test_without_a_good_signature_it_is_401(running: Running, sender: Sender) -> None:
    body = await sender.completed()
    headers = sender.headers(body)
    del headers["X-Hub-Signature-256"]
    assert (await running.webhook(body, headers)).told == (401, "signature_refused")
    for signature in ("", "sha256=" + "0" * 64, "sha256=ä", "sha256=" + "ÿ" * 64, "sha256=" + "é" * 32, "0" * 64):
        answer = await running.webhook(body, headers | {"X-Hub-Signature-256": signature})
        assert answer.told == (401, "signature_refused"), signature
        assert answer.body["detail"]


@pytest.mark.usefixtures("untouched")
async def test_a_signature_in_raw_bytes_that_are_no_text_is_401(running: Running, sender: Sender) -> None:
    body = await sender.completed()
    lines = [f"{name}: {value}" for name, value in sender.headers(body).items() if "Signature" not in name]
    head = "\r\n".join(["POST /webhooks/github HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *lines])
    raw = (
        head.encode() + b"\r\nX-Hub-Signature-256: sha256=" + b"\xff\xfe" * 32 + b"\r\nConnection: close\r\n\r\n" + body
    )
    host, port = running.hosted.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(raw)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"signature_refused" in answer


@pytest.mark.usefixtures("untouched")
async def test_a_sha1_signature_alone_is_401(running: Running, sender: Sender) -> None:
    body = await sender.completed()
    headers = sender.headers(body)
    del headers["X-Hub-Signature-256"]
    assert headers["X-Hub-Signature"].startswith("sha1=")
    assert (await running.webhook(body, headers)).told == (401, "signature_refused")


@pytest.mark.usefixtures("untouched")
async def test_a_body_changed_on_the_way_is_401(running: Running, sender: Sender) -> None:
    body = await sender.completed()
    headers = sender.headers(body)
    assert (await running.webhook(body.replace(b"main", b"evil"), headers)).told == (401, "signature_refused")


@pytest.mark.usefixtures("untouched")
async def test_what_is_no_json_is_400(sender: Sender) -> None:
    for body in (b"", b"{", b"\xff\xfe", b'{"action":', b"[" * 5000, b'{"action":"\xff"}', b'{"action":7,'):
        for event in ("workflow_run", "push"):
            assert (await sender.send(body, event=event)).told == (400, "not_json"), body[:20]


@pytest.mark.usefixtures("untouched")
async def test_a_run_that_cannot_be_read_is_400_and_says_where(sender: Sender) -> None:
    content = json.loads(await sender.completed())
    content["workflow_run"]["id"] = "7"
    answer = await sender.send(json.dumps(content).encode())
    assert answer.told == (400, "unexpected_shape")
    assert "$.workflow_run.id" in answer.body["detail"]
    assert (await sender.send(b"[]", event="push")).told == (400, "unexpected_shape")


ODD_HEADERS: list[tuple[str, str | None]] = [
    ("X-GitHub-Event", None),
    ("X-GitHub-Event", "Workflow Run"),
    ("X-GitHub-Delivery", None),
    ("X-GitHub-Delivery", "../../etc/passwd"),
    ("X-GitHub-Delivery", "a" * 51),
    ("X-GitHub-Hook-Installation-Target-Type", None),
    ("X-GitHub-Hook-Installation-Target-ID", None),
    ("X-GitHub-Hook-Installation-Target-ID", "seven"),
    ("X-GitHub-Hook-Installation-Target-ID", "٣"),
    ("X-GitHub-Hook-Installation-Target-ID", "0"),
    ("X-GitHub-Hook-Installation-Target-ID", "9" * 30),
]


@pytest.mark.usefixtures("untouched")
async def test_headers_that_github_would_not_send_are_400(running: Running, sender: Sender) -> None:
    body = await sender.completed()
    for header, value in ODD_HEADERS:
        headers = sender.headers(body)
        headers.pop(header)
        answer = await running.webhook(body, headers if value is None else headers | {header: value})
        assert answer.told == (400, "invalid_header"), (header, value)
        assert header in answer.body["detail"]


@pytest.mark.usefixtures("untouched")
async def test_a_body_that_does_not_say_it_is_json_is_415(running: Running, sender: Sender) -> None:
    body = await sender.completed()
    for content_type in ("application/x-www-form-urlencoded", "text/plain", "application/jsonp"):
        answer = await running.webhook(body, sender.headers(body) | {"Content-Type": content_type})
        assert answer.told == (415, "unsupported_media_type")


@pytest.mark.usefixtures("untouched")
async def test_a_hook_speaks_for_its_own_target_only(running: Running, sender: Sender) -> None:
    body = await sender.completed()
    secret = running.sandbox.webhook_secret
    foreign_app = sender.hook(secret, "integration", running.sandbox.app_id + 1)
    foreign_repository = sender.hook(repository_secret(MASTER_KEY, 5), "repository", 5)
    app_as_repository = sender.hook(secret, "repository", REPOSITORY_ID)
    of_an_organization = sender.hook(secret, "organization", OWNER_ID)
    assert (await sender.send(body, foreign_app)).told == (403, "hook_target_refused")
    assert (await sender.send(body, foreign_repository)).told == (403, "hook_target_refused")
    assert (await sender.send(body, app_as_repository)).told == (401, "signature_refused")
    assert (await sender.send(body, of_an_organization)).told == (401, "signature_refused")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_25_mb_is_413(running: Running, sender: Sender, *, chunked: bool) -> None:
    body = b" " * (25 * 1024 * 1024 + 1)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1 << 20):
            yield body[start : start + (1 << 20)]

    content: Any = chunks() if chunked else io.BytesIO(body)
    url, headers = f"{running.hosted.url}/webhooks/github", sender.headers(body)
    async with running.http.post(url, data=content, headers=headers) as response:
        assert (response.status, (await response.json())["error"]) == (413, "body_too_large")


async def test_a_signature_of_the_empty_body_is_checked_too(running: Running, sender: Sender) -> None:
    headers = sender.headers(b"") | {"X-Hub-Signature-256": sign("wrong", b"")}
    assert (await running.webhook(b"", headers)).told == (401, "signature_refused")


async def test_an_erased_accounts_webhooks_are_gone_for_good(running: Running, sender: Sender) -> None:
    await running.backend.keys.destroy(OWNER_ID)
    assert (await sender.send(await sender.completed())).told == (410, "account_erased")
    assert await running.stored() == []
