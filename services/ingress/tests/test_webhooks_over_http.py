import asyncio
import io
import json
import resource
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zekt_common.contracts.ingress import RunCompleted
from zekt_common.envelope import Envelope
from zekt_ingress.signatures import repository_secret
from zekt_ingress.webhook import WEBHOOK_SCHEMAS, WebhookReceived
from zekt_sandbox import GitHubSandbox, Hook, sign, webhook_headers, workflow_run_payload

from .conftest import MASTER_KEY, OWNER_ID, PROVIDER, REPOSITORY_ID, WORKFLOW, Answer, Running, ingress_at

INSTALLATION_ID = 99


class Sender:
    """Signs webhooks as GitHub does, through the App's hook or another one."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.app_hook = self.hook(running.sandbox.webhook_secret, "integration", running.sandbox.app_id)

    def hook(self, secret: str, target_type: str, target_id: int) -> Hook:
        return Hook(1, "http://unused.test", secret, target_type, target_id)

    async def completed(self, **options: Any) -> bytes:
        run = await self.running.sandbox.start_run(PROVIDER, WORKFLOW, send=False, **options)
        run.conclusion = "success"
        return workflow_run_payload(run, installation_id=INSTALLATION_ID)

    def headers(self, body: bytes, hook: Hook | None = None, *, event: str = "workflow_run") -> dict[str, str]:
        return webhook_headers(hook or self.app_hook, event=event, guid=str(uuid.uuid4()), body=body)

    async def send(self, body: bytes, hook: Hook | None = None, *, event: str = "workflow_run") -> Answer:
        return await self.running.webhook(body, self.headers(body, hook, event=event))


@pytest.fixture
def sender(running: Running) -> Sender:
    return Sender(running)


@pytest.fixture
async def untouched(running: Running) -> AsyncIterator[None]:
    """Whatever the test does must leave nothing behind."""
    yield
    assert await running.stored() == []
    assert running.archived() == 0


def webhook_in(envelope: Envelope) -> WebhookReceived:
    webhook = WEBHOOK_SCHEMAS.decode(envelope)
    assert isinstance(webhook, WebhookReceived)
    return webhook


async def test_a_signed_webhook_is_stored_archived_and_told_to_the_router(running: Running, sender: Sender) -> None:
    body = await sender.completed(sha="c0ffee" * 6 + "cafe")
    headers = sender.headers(body)
    assert (await running.webhook(body, headers)).told == (202, "accepted")

    (stored,) = await running.stored()
    guid, run_id = headers["X-GitHub-Delivery"], json.loads(body)["workflow_run"]["id"]
    assert stored.stream == f"webhook/{running.sandbox.app_id}/{guid}"
    assert stored.subject == stored.correlationid == f"{REPOSITORY_ID}/{run_id}"
    assert stored.accountid == str(OWNER_ID)
    assert stored.traceparent is not None
    webhook = webhook_in(stored)
    assert await running.backend.payloads.get(OWNER_ID, webhook.payload.sha256) == body
    assert len(stored.data) < 1500 < len(body)

    (published,) = await running.published(1)
    told = msgspec.json.decode(published.data, type=RunCompleted)
    assert (published.id, published.causationid, published.traceparent) == (stored.id, stored.id, stored.traceparent)
    assert told == RunCompleted(
        received_at=stored.time,
        repository_id=REPOSITORY_ID,
        repository=PROVIDER,
        owner_id=OWNER_ID,
        run_id=run_id,
        run_attempt=1,
        workflow_path=WORKFLOW,
        workflow_name="CI",
        conclusion="success",
        trigger="push",
        branch="main",
        commit_sha="c0ffee" * 6 + "cafe",
        head_repository_id=REPOSITORY_ID,
        installation_id=INSTALLATION_ID,
    )


async def test_a_repeated_webhook_changes_nothing(running: Running, sender: Sender) -> None:
    body = await sender.completed()
    headers = sender.headers(body)
    answers = await asyncio.gather(*(running.webhook(body, headers) for _ in range(10)))
    assert sorted(answer.told for answer in answers) == [(202, "accepted"), *[(202, "duplicate")] * 9]
    assert len(await running.stored()) == 1
    assert running.archived() == 1


async def test_one_guid_through_two_hooks_is_two_webhooks(running: Running, sender: Sender) -> None:
    body = await sender.completed()
    headers = sender.headers(body)
    own = sender.hook(repository_secret(MASTER_KEY, REPOSITORY_ID), "repository", REPOSITORY_ID)
    again = sender.headers(body, own) | {"X-GitHub-Delivery": headers["X-GitHub-Delivery"]}
    assert (await running.webhook(body, headers)).told == (202, "accepted")
    assert (await running.webhook(body, again)).told == (202, "accepted")
    assert [webhook_in(event).hook_target_type for event in await running.stored()] == ["integration", "repository"]


@pytest.mark.parametrize("event", ["ping", "push", "an_event_of_the_future"])
async def test_other_events_are_kept_and_told_to_nobody(running: Running, sender: Sender, event: str) -> None:
    bodies: list[dict[str, Any]] = [{}, {"action": "x", "repository": {"id": 1, "owner": None}}, {"action": None}]
    for content in bodies:
        assert (await sender.send(json.dumps(content).encode(), event=event)).told == (202, "accepted")
    assert (await sender.send(await sender.completed())).told == (202, "accepted")
    stored = await running.stored()
    assert [webhook_in(envelope).event for envelope in stored] == [event] * 3 + ["workflow_run"]
    assert [envelope.id for envelope in await running.published(1)] == [stored[3].id]


async def test_runs_that_have_not_ended_are_told_to_nobody(running: Running, sender: Sender) -> None:
    run = await running.sandbox.start_run(PROVIDER, WORKFLOW, send=False)
    for action in ("requested", "in_progress", "completed"):
        assert (await sender.send(workflow_run_payload(run, action=action))).status == 202
    stored = await running.stored()
    assert [webhook_in(event).action for event in stored] == ["requested", "in_progress", "completed"]
    assert [envelope.id for envelope in await running.published(1)] == [stored[2].id]


async def test_a_run_without_its_optional_fields_is_understood(running: Running, sender: Sender) -> None:
    content = json.loads(await sender.completed())
    content["workflow_run"] |= {"head_repository": None, "head_branch": None, "name": None, "path": f"{WORKFLOW}@main"}
    del content["installation"]
    assert (await sender.send(json.dumps(content).encode())).status == 202
    run = webhook_in((await running.stored())[0]).run
    assert run is not None
    assert (run.head_repository_id, run.branch, run.workflow_name, run.installation_id) == (None, "", "", None)
    assert run.workflow_path == WORKFLOW


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


async def test_any_active_secret_counts_while_one_is_rotated(running: Running, sender: Sender) -> None:
    retired = sender.hook("retired", "integration", running.sandbox.app_id)
    assert (await sender.send(await sender.completed(), retired)).told == (202, "accepted")


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


async def test_a_body_of_25_mb_is_taken_in(running: Running, sender: Sender) -> None:
    body = await sender.completed()
    padded = body[:-1] + b" " * (25 * 1024 * 1024 - len(body)) + b"}"
    assert (await sender.send(padded)).told == (202, "accepted")
    webhook = webhook_in((await running.stored())[0])
    assert await running.backend.payloads.get(OWNER_ID, webhook.payload.sha256) == padded


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process grow beyond its first page."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_on_a_full_disk_it_is_503_until_there_is_room(running: Running, sender: Sender) -> None:
    body = await sender.completed()
    headers = sender.headers(body)
    with full_disk():
        answer = await running.webhook(body, headers)
        assert answer.told == (503, "storage_unusable")
        assert answer.headers["Retry-After"]
        readiness = await running.hosted.readiness()
        assert [check.name for check in readiness.checks if not check.ok] == ["ingress.store"]
    assert await running.stored() == []
    assert (await running.webhook(body, headers)).told == (202, "accepted")
    assert (await running.hosted.readiness()).status == "ready"


async def test_what_was_acknowledged_is_there_after_a_restart(sandbox: GitHubSandbox, tmp_path: Path) -> None:
    async with ingress_at(sandbox, tmp_path) as first:
        sender = Sender(first)
        body = await sender.completed()
        headers = sender.headers(body)
        assert (await first.webhook(body, headers)).told == (202, "accepted")
    async with ingress_at(sandbox, tmp_path) as second:
        assert (await second.webhook(body, headers)).told == (202, "duplicate")
        assert len(await second.published(1)) == 1


async def test_an_erased_accounts_webhooks_are_gone_for_good(running: Running, sender: Sender) -> None:
    await running.backend.keys.destroy(OWNER_ID)
    assert (await sender.send(await sender.completed())).told == (410, "account_erased")
    assert await running.stored() == []


async def test_a_signature_of_the_empty_body_is_checked_too(running: Running, sender: Sender) -> None:
    headers = sender.headers(b"") | {"X-Hub-Signature-256": sign("wrong", b"")}
    assert (await running.webhook(b"", headers)).told == (401, "signature_refused")
