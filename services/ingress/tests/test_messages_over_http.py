import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zekt_common.contracts.ingress import MessageReceived as MessageTold
from zekt_ingress.message import MAX_PAYLOAD_BYTES, MESSAGE_SCHEMAS, MessageReceived, RedactionFound
from zekt_ingress.redaction import Finding
from zekt_sandbox import GitHubSandbox

from .conftest import (
    OWNER_ID,
    PROVIDER,
    REPOSITORY_ID,
    WORKFLOW,
    Answer,
    Running,
    ingress_at,
    message_of,
    provider,
    service,
    subscription,
)

TOKEN = "ghp_" + "a1B2" * 9
SHIELD = {
    "type": "zekt-shield-envelope",
    "recipients": [{"consumerId": "c1", "encryptedPayload": "ghp" + TOKEN.replace("_", "") + "=="}],
    "algorithm": "RSA-OAEP",
    "version": "1.0",
}


@pytest.fixture
async def run_id(running: Running) -> int:
    await running.enable()
    run = await running.sandbox.start_run(PROVIDER, WORKFLOW, send=False)
    return run.id


@pytest.fixture
async def untouched(running: Running) -> AsyncIterator[None]:
    """Whatever the test does must leave nothing behind."""
    yield
    assert await running.stored() == []
    assert running.archived() == 0


def refused(answer: Answer, status: int, words: str) -> None:
    assert answer.status == status, answer.body
    assert set(answer.body) == {"error"}
    assert words in answer.body["error"]
    assert answer.body["error"].endswith(".")


async def messages(running: Running) -> list[MessageReceived]:
    events = [MESSAGE_SCHEMAS.decode(stored) for stored in await running.stored()]
    return [event for event in events if isinstance(event, MessageReceived)]


async def only_message(running: Running) -> MessageReceived:
    (message,) = await messages(running)
    return message


async def test_a_message_is_stored_and_told_to_the_router(running: Running, run_id: int) -> None:
    answer = await running.message(run_id)
    assert answer.status == 200
    assert answer.body["success"] is True
    assert answer.body["consumersNotified"] == 1
    (stored,) = await running.stored()
    message_id = answer.body["eventId"].removeprefix("evt-")
    assert stored.stream == f"message/{REPOSITORY_ID}/{run_id}/{message_id}"
    assert stored.subject == stored.correlationid == f"{REPOSITORY_ID}/{run_id}"
    (published,) = await running.published(1)
    assert published.id == stored.id
    assert msgspec.json.decode(published.data, type=MessageTold) == MessageTold(
        received_at=stored.time,
        message_id=message_id,
        repository_id=REPOSITORY_ID,
        repository=PROVIDER,
        owner_id=OWNER_ID,
        run_id=run_id,
        run_attempt=1,
        workflow_path=WORKFLOW,
        event_type="deployment",
        size_bytes=19,
        payload=msgspec.Raw(b'{"version":"1.2.3"}'),
    )


async def test_a_repeat_answers_the_same_and_changes_nothing(running: Running, run_id: int) -> None:
    first, second = await running.message(run_id), await running.message(run_id)
    assert (second.status, second.body) == (200, first.body)
    assert len(await running.stored()) == 1


async def test_the_attempt_is_the_tokens(running: Running, run_id: int) -> None:
    await running.sandbox.rerun(run_id, send=False)
    assert (await running.message(run_id)).status == 200
    assert (await only_message(running)).run_attempt == 2


async def test_any_json_may_be_a_payload(running: Running, run_id: int) -> None:
    payloads: list[Any] = [None, True, 0, "text", [], {}, [1, {"a": None}], "日本語", 1.5, 10**30]
    for payload in payloads:
        assert (await running.message(run_id, {"payload": payload})).status == 200
    kept = [json.loads(bytes(message.payload or b"")) for message in await messages(running)]
    assert kept == payloads


async def test_a_large_payload_travels_by_reference(running: Running, run_id: int) -> None:
    payload = {"text": "x" * 40_000}
    assert (await running.message(run_id, {"payload": payload})).status == 200
    message = await only_message(running)
    assert message.payload is None
    assert message.payload_ref is not None
    assert message.payload_ref.account_id == OWNER_ID
    kept = await running.backend.payloads.get(OWNER_ID, message.payload_ref.sha256)
    assert json.loads(kept) == payload
    assert message.size_bytes == len(kept) == message.payload_ref.size_bytes


async def test_half_a_megabyte_is_taken_in_and_a_byte_more_is_413(running: Running, run_id: int) -> None:
    over = {"payload": "x" * (MAX_PAYLOAD_BYTES - 1)}
    refused(await running.message(run_id, over), 413, "524288 bytes")
    wide = {"payload": "é" * (MAX_PAYLOAD_BYTES // 2)}
    refused(await running.raw_message(utf8(message_of(run_id) | wide), run_id), 413, "524288 bytes")
    huge = {"payload": "x" * 1_000_000}
    refused(await running.message(run_id, huge), 413, "524288 bytes")
    assert (await running.stored(), running.archived()) == ([], 0)
    assert (await running.message(run_id, {"payload": "x" * (MAX_PAYLOAD_BYTES - 2)})).status == 200


async def test_a_chunked_body_is_bounded_too(running: Running, run_id: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 50_000

    headers = {"Authorization": f"Bearer {running.sandbox.mint_oidc_token(run_id)}"}
    async with running.http.post(
        f"{running.hosted.url}/api/events/receive", data=chunks(), headers=headers
    ) as response:
        assert response.status == 413


def utf8(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


async def test_secrets_are_taken_out_before_anything_is_stored(running: Running, run_id: int) -> None:
    for payload in ({"env": {"token": TOKEN}}, {"env": {"token": TOKEN}, "text": "x" * 40_000}):
        answer = await running.message(run_id, {"payload": payload})
        assert answer.status == 200
        assert "1 secret(s)" in answer.body["message"]
        assert TOKEN not in str(answer.body)
    stored = await running.stored()
    found = RedactionFound(findings=[Finding("/env/token", "github-token")], total=1)
    assert [MESSAGE_SCHEMAS.decode(event) for event in stored][1::2] == [found, found]
    assert [event.version for event in stored] == [1, 2, 1, 2]
    large = (await messages(running))[1]
    assert large.payload_ref is not None
    kept = await running.backend.payloads.get(OWNER_ID, large.payload_ref.sha256)
    assert json.loads(kept)["env"] == {"token": "[redacted:github-token]"}
    assert not any(TOKEN.encode() in path.read_bytes() for path in running.data_dir.rglob("*") if path.is_file())


async def test_a_member_given_twice_hides_nothing(running: Running, run_id: int) -> None:
    body = json.dumps(message_of(run_id)).replace('"1.2.3"', f'"{TOKEN}", "version": 1').encode()
    assert body.count(b'"version"') == 2
    assert (await running.raw_message(body, run_id)).status == 200
    (stored,) = await running.stored()
    assert TOKEN.encode() not in bytes(stored.data)


async def test_a_shield_envelope_goes_through_untouched(running: Running, run_id: int) -> None:
    assert (await running.message(run_id, {"payload": SHIELD})).status == 200
    message = await only_message(running)
    assert message.payload is not None
    assert json.loads(bytes(message.payload)) == SHIELD
    assert len(await running.stored()) == 1


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


async def test_nesting_is_bounded(running: Running, run_id: int) -> None:
    template = json.dumps(message_of(run_id) | {"payload": "@"})
    for levels in (101, 900, 50_000):
        body = template.replace('"@"', "[" * levels + "]" * levels).encode()
        refused(await running.raw_message(body, run_id), 400, "nested too deeply")
    assert await running.stored() == []
    body = template.replace('"@"', "[" * 100 + "]" * 100).encode()
    assert (await running.raw_message(body, run_id)).status == 200


@pytest.mark.usefixtures("untouched")
async def test_a_step_of_an_orchestration_is_said_not_to_be_possible(running: Running, run_id: int) -> None:
    reference = {"orchestration_step_ref": {"execution_id": "exec-1", "step_id": "build"}}
    refused(await running.message(run_id, reference), 501, "orchestration")


@pytest.mark.usefixtures("untouched")
async def test_a_token_that_is_not_to_be_believed_is_401(running: Running, run_id: int) -> None:
    dishonest: list[dict[str, Any]] = [
        {"audience": "api://other"},
        {"expires_in_s": -120},
        {"claims": {"iss": "https://evil.example"}},
        {"without": ["repository_id"]},
        {"forgery": "none"},
        {"forgery": "hs256"},
        {"forgery": "foreign_key"},
    ]
    tokens = [running.sandbox.mint_oidc_token(run_id, **options) for options in dishonest]
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


async def test_a_message_counts_the_subscriptions_it_concerns(running: Running, run_id: int) -> None:
    await running.tell(
        subscription("other-type", event_types=["release"]),
        subscription("same-type", event_types=["deployment"]),
        subscription("waiting", status="requested"),
        subscription("gone", removed=True),
        service(slug="other-workflow", workflow_path=".github/workflows/other.yml"),
        subscription("of-other-workflow", service_slug="other-workflow"),
        service(slug="requests-only", workflow_path=None),
        subscription("of-requests-only", service_slug="requests-only"),
        service(slug="releases", event_types=["release"]),
        subscription("of-releases", service_slug="releases"),
        service(slug="deployments", event_types=["deployment"]),
        subscription("of-deployments", service_slug="deployments"),
        service(slug="elsewhere", repository_id=5),
        subscription("of-elsewhere", service_slug="elsewhere"),
        first_version=10,
    )
    assert (await running.message(run_id)).body["consumersNotified"] == 3
    assert (await running.message(run_id, {"eventType": "release"})).body["consumersNotified"] == 3
    assert (await running.message(run_id, {"eventType": "push"})).body["consumersNotified"] == 1


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
