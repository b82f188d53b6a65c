"""Every stored event type and schema version has a file here that must decode for ever, into the same values."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from zekt_common.contracts.ingress import AppWebhookReceived
from zekt_common.envelope import Envelope, Event, decode, encode
from zekt_common.ports.payloads import PayloadRef
from zekt_common.schemas import Schemas
from zekt_ingress.message import MESSAGE_SCHEMAS, MessageReceived, RedactionFound
from zekt_ingress.redaction import Finding
from zekt_ingress.translate import translate
from zekt_ingress.webhook import WEBHOOK_SCHEMAS, CompletedRun, WebhookReceived

GOLDEN = Path(__file__).parent / "golden"
EXPIRY = datetime(2026, 4, 1, tzinfo=UTC)
ARCHIVED = PayloadRef(account_id=7001, sha256="ab" * 32, size_bytes=19_000, expires_at=EXPIRY)
WRITTEN: dict[str, Event] = {
    "webhook.received.v1": WebhookReceived(
        event="workflow_run",
        action="completed",
        guid="0b989ba4-242f-11e5-81e1-c7b6966d2516",
        hook_target_type="integration",
        hook_target_id=900001,
        payload=ARCHIVED,
        run=CompletedRun(
            repository_id=42001,
            repository="acme/provider",
            owner_id=7001,
            run_id=20000000001,
            run_attempt=2,
            workflow_path=".github/workflows/ci.yml",
            workflow_name="CI",
            conclusion="success",
            trigger="push",
            branch="main",
            commit_sha="c0ffee" * 6 + "cafe",
            head_repository_id=42001,
            installation_id=99,
        ),
    ),
    "message.received.v1": MessageReceived(
        message_id="0123456789abcdef0123456789abcdef",
        repository_id=42001,
        repository="acme/provider",
        owner_id=7001,
        run_id=20000000001,
        run_attempt=2,
        workflow_path=".github/workflows/ci.yml",
        event_type="deployment",
        size_bytes=19_000,
        payload_ref=ARCHIVED,
    ),
    "message.redaction-found.v1": RedactionFound(findings=[Finding("/env/token", "github-token")], total=1),
}


def schemas_of(kind: str) -> Schemas:
    return WEBHOOK_SCHEMAS if kind in WEBHOOK_SCHEMAS else MESSAGE_SCHEMAS


def stored(name: str) -> Envelope:
    return decode((GOLDEN / f"{name}.json").read_bytes())


def test_every_stored_type_has_a_file() -> None:
    written = {f"{event.TYPE.removeprefix('dev.zekt.')}.v{event.SCHEMA_VERSION}" for event in WRITTEN.values()}
    known = {
        f"{event.TYPE.removeprefix('dev.zekt.')}.v{event.SCHEMA_VERSION}"
        for schemas in (WEBHOOK_SCHEMAS, MESSAGE_SCHEMAS)
        for event in schemas
    }
    assert known <= written <= {path.stem for path in GOLDEN.glob("*.json")}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_was_stored_decodes_for_ever(name: str) -> None:
    envelope = stored(name)
    assert schemas_of(envelope.type).decode(envelope) == WRITTEN[name]


@pytest.mark.parametrize("name", WRITTEN)
def test_today_it_is_stored_as_in_the_file(name: str) -> None:
    envelope, body = stored(name), WRITTEN[name]
    today = msgspec.structs.replace(
        envelope, type=body.TYPE, schemaversion=body.SCHEMA_VERSION, data=msgspec.Raw(msgspec.json.encode(body))
    )
    assert encode(today) == (GOLDEN / f"{name}.json").read_bytes().rstrip(b"\n")


@pytest.mark.parametrize(("name", "published"), [(name, not name.startswith("message.redaction")) for name in WRITTEN])
def test_stored_events_are_translated_the_same_every_time(name: str, *, published: bool) -> None:
    first, second = translate(stored(name)), translate(stored(name))
    assert first == second
    assert [message.to for message in first] == ["router"] * published


@pytest.mark.parametrize(
    ("event", "target", "heard"),
    [
        ("installation", "integration", True),
        ("installation_repositories", "integration", True),
        ("installation_target", "integration", True),
        ("repository", "integration", True),
        ("github_app_authorization", "integration", True),
        ("push", "integration", False),
        ("installation", "repository", False),
        ("repository", "repository", False),
    ],
)
def test_identity_hears_of_the_apps_own_webhooks_alone(event: str, target: str, *, heard: bool) -> None:
    body = msgspec.structs.replace(
        WRITTEN["webhook.received.v1"], event=event, action="removed", hook_target_type=target, run=None
    )
    envelope = msgspec.structs.replace(stored("webhook.received.v1"), data=msgspec.Raw(msgspec.json.encode(body)))
    messages = translate(envelope)
    assert [message.to for message in messages] == ["identity"] * heard
    for message in messages:
        told = msgspec.json.decode(message.envelope.data, type=AppWebhookReceived)
        assert (told.event, told.action, told.payload_ref) == (event, "removed", ARCHIVED)
