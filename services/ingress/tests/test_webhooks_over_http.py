import asyncio
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zekt_common.auth.webhook_secrets import repository_secret
from zekt_common.contracts.ingress import RunCompleted
from zekt_sandbox import GitHubSandbox, workflow_run_payload

from .conftest import (
    INSTALLATION_ID,
    MASTER_KEY,
    OWNER_ID,
    PROVIDER,
    REPOSITORY_ID,
    WORKFLOW,
    Running,
    Sender,
    ingress_at,
    webhook_in,
)


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


@pytest.mark.parametrize(
    ("body", "days"),
    [
        ({"action": "revoked", "sender": {"id": 4_242, "login": "octocat"}}, 1),
        ({"action": "suspend", "installation": {"id": 1}, "sender": {"id": 4_242, "login": "octocat"}}, 1),
        ({"action": "archived", "repository": {"id": REPOSITORY_ID, "owner": None}}, 1),
        ({"action": "archived", "repository": {"id": REPOSITORY_ID, "owner": {"id": OWNER_ID}}}, 90),
    ],
)
async def test_a_body_that_belongs_to_no_account_is_kept_for_a_day(
    running: Running, sender: Sender, body: dict[str, Any], days: int
) -> None:
    assert (await sender.send(json.dumps(body).encode(), event="github_app_authorization")).status == 202
    (stored,) = await running.stored()
    kept = webhook_in(stored).payload.expires_at - stored.time
    assert abs(kept - timedelta(days=days)) < timedelta(minutes=1)


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


async def test_any_active_secret_counts_while_one_is_rotated(running: Running, sender: Sender) -> None:
    retired = sender.hook("retired", "integration", running.sandbox.app_id)
    assert (await sender.send(await sender.completed(), retired)).told == (202, "accepted")


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
