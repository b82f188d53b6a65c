import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from zekt_sandbox import GitHubSandbox

from .conftest import (
    OWNER_ID,
    PROVIDER,
    WORKFLOW,
    Running,
    ingress_at,
    message_of,
    provider,
)
from .message_checks import DISHONEST, SHIELD, TOKEN, refused


async def test_a_chunked_body_is_bounded_too(running: Running, run_id: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 50_000

    headers = {"Authorization": f"Bearer {running.sandbox.mint_oidc_token(run_id)}"}
    async with running.http.post(
        f"{running.hosted.url}/api/events/receive", data=chunks(), headers=headers
    ) as response:
        assert response.status == 413


@pytest.mark.usefixtures("untouched")
async def test_a_shield_envelope_of_a_wrong_shape_is_400(running: Running, run_id: int) -> None:
    changes: list[dict[str, Any]] = [
        {"recipients": []},
        {"recipients": [{"consumerId": "c1"}]},
        {"recipients": [{"consumerId": "c1", "encryptedPayload": "not base64!"}]},
        {"recipients": [{"consumerId": "", "encryptedPayload": "YQ=="}]},
        {"recipients": [{"consumerId": "c1", "encryptedPayload": "YQ=="}] * 101},
        {"algorithm": "ROT13"},
        {"version": "2.0"},
        {"note": TOKEN},
    ]
    for change in changes:
        refused(await running.message(run_id, {"payload": SHIELD | change}), 400, "Shield envelope")


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"eventType": ""}, "eventType"),
    ({"eventType": "x" * 101}, "eventType"),
    ({"eventType": 7}, "eventType"),
    ({"eventType": "deploy\n"}, "eventType"),
    ({"eventType": TOKEN}, "holds a secret"),
    ({"workflowRunId": "1"}, "workflowRunId must be"),
    ({"workflowRunId": 1}, "workflowRunId must be"),
    ({"workflowRunId": None}, "workflowRunId"),
    ({"repository": None}, "repository"),
    ({"orchestration_step_ref": "step"}, "orchestration_step_ref"),
]


@pytest.mark.usefixtures("untouched")
async def test_a_malformed_message_is_400_and_says_what_to_change(running: Running, run_id: int) -> None:
    for changes, words in MALFORMED:
        refused(await running.message(run_id, changes), 400, words)
    for missing in ("eventType", "repository", "workflowRunId", "payload"):
        kept = {name: value for name, value in message_of(run_id).items() if name != missing}
        refused(await running.raw_message(json.dumps(kept).encode(), run_id), 400, missing)
    for body in (b"", b"{", b"[]", b"\xff", b"[" * 5000, b'{"payload": NaN}'):
        refused(await running.raw_message(body, run_id), 400, ".")


@pytest.mark.usefixtures("untouched")
async def test_a_step_of_an_orchestration_is_said_not_to_be_possible(running: Running, run_id: int) -> None:
    reference = {"orchestration_step_ref": {"execution_id": "exec-1", "step_id": "build"}}
    refused(await running.message(run_id, reference), 501, "orchestration")


@pytest.mark.usefixtures("untouched")
async def test_a_token_that_is_not_to_be_believed_is_401(running: Running, run_id: int) -> None:
    tokens = [running.sandbox.mint_oidc_token(run_id, **options) for options in DISHONEST]
    for authorization in (*(f"Bearer {token}" for token in tokens), "", "Bearer", "Bearer x", "Bearer ä", "Basic YTpi"):
        answer = await running.message(run_id, Authorization=authorization)
        refused(answer, 401, "")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.usefixtures("untouched")
async def test_a_message_for_another_repository_is_403(running: Running, run_id: int) -> None:
    refused(await running.message(run_id, {"repository": "acme/other"}), 403, PROVIDER)
    refused(await running.message(run_id, None, **{"X-GitHub-Repository": "acme/other"}), 403, PROVIDER)


@pytest.mark.usefixtures("untouched")
async def test_names_do_not_authorise(running: Running, run_id: int) -> None:
    """A repository that took over another one's name, or its id under another owner, is not enabled."""
    for claims in ({"repository_id": "5"}, {"repository_owner_id": "5"}):
        token = running.sandbox.mint_oidc_token(run_id, claims=claims)
        refused(await running.message(run_id, Authorization=f"Bearer {token}"), 404, "not enabled")


@pytest.mark.usefixtures("untouched")
async def test_a_repository_that_is_not_enabled_is_404(running: Running, run_id: int) -> None:
    changes: list[dict[str, Any]] = [{"enabled_as": ["consumer"]}, {"enabled_as": []}, {"removed": True}]
    for version, change in enumerate(changes, start=9):
        await running.tell(provider(**change), first_version=version)
        refused(await running.message(run_id), 404, "not enabled")


async def test_one_repository_may_not_flood(sandbox: GitHubSandbox, tmp_path: Path) -> None:
    async with ingress_at(sandbox, tmp_path, messages_per_s=0.001, message_burst=2) as running:
        await running.enable()
        run = await sandbox.start_run(PROVIDER, WORKFLOW, send=False)
        assert [(await running.message(run.id)).status for _ in range(2)] == [200, 200]
        answer = await running.message(run.id, {"eventType": "other"})
        refused(answer, 429, "Too many messages")
        assert int(answer.headers["Retry-After"]) > 0
        assert len(await running.stored()) == 1


async def test_an_erased_account_sends_nothing_large(running: Running, run_id: int) -> None:
    await running.backend.keys.destroy(OWNER_ID)
    refused(await running.message(run_id, {"payload": "x" * 40_000}), 404, "erased")
    assert await running.stored() == []
