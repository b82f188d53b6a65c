import json
from typing import Any

import msgspec

from zekt_common.contracts.ingress import MessageReceived as MessageTold
from zekt_ingress.message import MAX_PAYLOAD_BYTES, MESSAGE_SCHEMAS, RedactionFound
from zekt_ingress.redaction import Finding

from .conftest import (
    OWNER_ID,
    PROVIDER,
    REPOSITORY_ID,
    WORKFLOW,
    Running,
    message_of,
    service,
    subscription,
)
from .message_checks import SHIELD, TOKEN, messages, only_message, refused, utf8


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


async def test_nesting_is_bounded(running: Running, run_id: int) -> None:
    template = json.dumps(message_of(run_id) | {"payload": "@"})
    for levels in (101, 900, 50_000):
        body = template.replace('"@"', "[" * levels + "]" * levels).encode()
        refused(await running.raw_message(body, run_id), 400, "nested too deeply")
    assert await running.stored() == []
    body = template.replace('"@"', "[" * 100 + "]" * 100).encode()
    assert (await running.raw_message(body, run_id)).status == 200


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
