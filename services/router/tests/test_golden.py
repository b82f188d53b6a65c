"""Stored events decode for ever: one golden file per event type and schema version.

Run as a script, this writes the files that are missing; one that exists is never written again.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from zekt_common.envelope import Envelope, Event, NewEvent, decode, encode, seal
from zekt_common.ports import PayloadRef
from zekt_router.catalog_events import (
    CATALOG_SCHEMAS,
    AccountDefined,
    AccountRecorded,
    InstallationSeen,
    RepositoryDefined,
    RepositoryRemoved,
    RepositorySeen,
    ServiceDefined,
    ServiceRemoved,
    SubscriptionDefined,
    SubscriptionRemoved,
    WorkflowDefined,
    WorkflowRemoved,
)
from zekt_router.catalog_model import (
    Account,
    AccountRecord,
    InstallationStanding,
    Repository,
    RepositoryStanding,
    Service,
    Subscription,
    Workflow,
)
from zekt_router.run_events import (
    RUN_SCHEMAS,
    CompletionAccepted,
    CompletionPredated,
    MessageBlocked,
    MessageRecorded,
    RoutingFinished,
    RoutingStarted,
    RunBlocked,
    RunRouted,
    WindowClosed,
)
from zekt_router.run_model import Completion, Message, Refused, Target

FOLDER = Path(__file__).parent / "golden"
AT = datetime(2026, 1, 31, 8, 0, 0, 123456, tzinfo=UTC)
CI = ".github/workflows/ci.yml"
REGISTERED = [*CATALOG_SCHEMAS, *RUN_SCHEMAS]

REPOSITORY = Repository(repository_id=11, repository="acme/provider", installation_id=5, enabled_as=["provider"])
WORKFLOW = Workflow(
    repository_id=11,
    path=CI,
    branches=["main", "release/*"],
    conclusions=["success"],
    events=["push"],
    mode="events+messages",
    correlation_window_s=2.5,
)
SERVICE = Service(
    slug="ci-finished",
    repository_id=11,
    workflow_path=CI,
    alias="Acme CI",
    description="CI results",
    tags=["ci"],
    event_types=["deployment"],
    visibility="public",
    listed=True,
    shield_required=False,
    schema={"type": "object"},
)
SUBSCRIPTION = Subscription(
    subscription_id="5f3a0c2e9b7d4816a1c3e5f708192a3b",
    service_slug="ci-finished",
    repository_id=11,
    target_repository_id=22,
    target_repository="beta/consumer",
    target_account_id=2,
    event_types=["deployment"],
    durable=True,
    status="approved",
)
COMPLETION = Completion(
    received_at=AT,
    repository_id=11,
    repository="acme/provider",
    owner_id=1,
    run_id=7,
    run_attempt=2,
    workflow_path=CI,
    workflow_name="CI",
    conclusion="success",
    trigger="push",
    branch="main",
    commit_sha="c0ffee",
    head_repository_id=11,
)
MESSAGE = Message(
    message_id="0123456789abcdef0123456789abcdef",
    received_at=AT,
    repository_id=11,
    owner_id=1,
    run_id=7,
    run_attempt=1,
    event_type="deployment",
    size_bytes=16,
    payload=msgspec.Raw(b'{"version":"1.2"}'),
)
ROUTED = RunRouted(
    repository_id=11,
    repository="acme/provider",
    owner_id=1,
    owner="acme",
    run_id=7,
    run_attempt=2,
    message_id=MESSAGE.message_id,
    event_type="deployment",
    workflow="CI",
    conclusion="success",
    late=False,
    last_subscription_id=SUBSCRIPTION.subscription_id,
    routed=[
        Target(
            delivery_id="a1b2c3d4e5f60718293a4b5c6d7e8f90",
            subscription_id=SUBSCRIPTION.subscription_id,
            service_slug="ci-finished",
            service_alias="Acme CI",
            target_repository_id=22,
            target_repository="beta/consumer",
            installation_id=6,
        )
    ],
    refused=[
        Refused(
            subscription_id="00000000000000000000000000000001",
            service_slug="ci-finished",
            target_repository_id=23,
            reason="subscription_not_approved",
            detail="It is paused.",
        )
    ],
    size_bytes=40_000,
    payload_ref=PayloadRef(account_id=1, sha256="ab" * 32, size_bytes=40_000, expires_at=AT),
)
EXAMPLES: list[Event] = [
    AccountDefined(account=Account(account_id=1, login="acme", persona="both", sku="standard")),
    RepositoryDefined(account_id=1, repository=REPOSITORY),
    RepositoryRemoved(account_id=1, repository=REPOSITORY),
    WorkflowDefined(workflow=WORKFLOW),
    WorkflowRemoved(workflow=WORKFLOW),
    ServiceDefined(service=SERVICE),
    ServiceRemoved(service=SERVICE),
    SubscriptionDefined(subscription=SUBSCRIPTION),
    SubscriptionRemoved(subscription=SUBSCRIPTION),
    RepositorySeen(
        account_id=1,
        standing=RepositoryStanding(
            version=3,
            repository_id=11,
            repository="acme/renamed",
            account_id=1,
            installation_id=5,
            archived=False,
            status="covered",
        ),
    ),
    InstallationSeen(
        account_id=1,
        standing=InstallationStanding(version=2, installation_id=5, account_id=1, login="acme", status="suspended"),
    ),
    AccountRecorded(account_id=1, record=AccountRecord(version=4, account_id=1, persona="both", sku="free")),
    RunBlocked(completion=COMPLETION, reason="workflow_not_listed", detail="Add it.", catalog_version=5),
    CompletionAccepted(completion=COMPLETION, takes_messages=True, window_end=AT, catalog_version=5, due_at=AT),
    CompletionPredated(run_attempt=2, received_at=AT, window_end=AT, due_at=AT),
    MessageRecorded(message=MESSAGE, due_at=None),
    MessageBlocked(message_id=MESSAGE.message_id, run_attempt=2, reason="messages_not_enabled", detail="Set the mode."),
    WindowClosed(run_attempt=2, through=AT, plain=False),
    RoutingStarted(run_attempt=2, message_id=MESSAGE.message_id, late=False, catalog_version=5),
    ROUTED,
    RoutingFinished(run_attempt=2, message_id=None, routed=1, refused=1),
]


def golden_file(event: Event | type[Event]) -> Path:
    return FOLDER / f"{event.TYPE}.v{event.SCHEMA_VERSION}.json"


def sealed(body: Event) -> Envelope:
    event = NewEvent(
        body=body,
        source="zekt/router",
        subject="11/7",
        correlationid="11/7",
        causationid="webhook/42/d0b2c3a4-0000-4000-8000-000000000000@1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        accountid="1",
    )
    return seal(event, stream="run/11/7", version=3, commitid="0011223344556677", time=AT)


def missing() -> Iterator[Event]:
    return (example for example in EXAMPLES if not golden_file(example).exists())


def decoded(envelope: Envelope) -> Event:
    return (RUN_SCHEMAS if envelope.type in RUN_SCHEMAS else CATALOG_SCHEMAS).decode(envelope)


@pytest.mark.parametrize("kind", REGISTERED, ids=lambda kind: kind.TYPE)
def test_every_registered_event_has_a_golden_file_of_its_schema_version(kind: type[Event]) -> None:
    assert golden_file(kind).exists(), "run this file as a script to write it"


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.json")), ids=lambda file: file.stem)
def test_a_stored_event_decodes_for_ever(file: Path) -> None:
    envelope = decode(file.read_bytes())
    event = decoded(envelope)
    assert (event.TYPE, file) == (envelope.type, FOLDER / f"{envelope.type}.v{envelope.schemaversion}.json")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.TYPE)
def test_an_event_is_still_written_and_read_as_its_golden_file_has_it(example: Event) -> None:
    stored = decode(golden_file(example).read_bytes())
    assert msgspec.json.decode(encode(stored)) == msgspec.json.decode(encode(sealed(example)))
    assert msgspec.json.decode(msgspec.json.encode(decoded(stored))) == msgspec.json.decode(
        msgspec.json.encode(example)
    )


if __name__ == "__main__":
    for absent in missing():
        golden_file(absent).write_bytes(msgspec.json.format(encode(sealed(absent))) + b"\n")
