"""What a run is blocked for, and what keeps it from a subscription."""

from typing import Any

import pytest

from services.router.tests.told_runs import (
    CI,
    CONSUMER,
    TARGETS,
    Teller,
    catalog,
    completion,
    consumer,
    message,
    subscription,
)
from zekt_router.catalog_model import Catalog, Repository
from zekt_router.matching import CatalogAt
from zekt_router.policy import Content
from zekt_router.run_events import CompletionAccepted, RunBlocked

BLOCKED: list[tuple[str, CatalogAt, dict[str, Any]]] = [
    ("repository_not_enabled", CatalogAt(Catalog(), 0), {}),
    ("repository_not_enabled", catalog(), {"repository_id": 99}),
    ("workflow_not_listed", catalog(), {"workflow_path": "other.yml"}),
    ("fork", catalog(), {"head_repository_id": 99}),
    ("fork", catalog(), {"head_repository_id": None}),
    ("fork", catalog(events=["push"]), {"head_repository_id": 99, "trigger": "pull_request"}),
    ("trigger_not_listed", catalog(), {"trigger": "pull_request"}),
    ("trigger_not_listed", catalog(), {"trigger": "pull_request_target"}),
    ("trigger_not_listed", catalog(events=["push"]), {"trigger": "schedule"}),
    ("branch_not_listed", catalog(branches=["release/*"]), {}),
    ("conclusion_not_listed", catalog(), {"conclusion": "failure"}),
]


@pytest.mark.parametrize(("reason", "known", "fields"), BLOCKED)
def test_a_blocked_run_is_recorded_with_its_reason(reason: str, known: CatalogAt, fields: dict[str, Any]) -> None:
    told = Teller(known).tell(completion(**fields))
    (blocked,) = told.events
    assert isinstance(blocked, RunBlocked)
    assert (blocked.reason, blocked.catalog_version) == (reason, known.version)


@pytest.mark.parametrize(
    ("known", "fields"),
    [
        (catalog(events=["pull_request"]), {"trigger": "pull_request", "head_repository_id": 99}),
        (catalog(events=["pull_request_target"]), {"trigger": "pull_request_target"}),
        (catalog(branches=["release/*"]), {"branch": "release/1"}),
        (catalog(conclusions=[]), {"conclusion": "cancelled"}),
        (catalog(), {"workflow_path": f"{CI}@refs/heads/main"}),
    ],
)
def test_what_a_workflow_lists_counts(known: CatalogAt, fields: dict[str, Any]) -> None:
    assert Teller(known).tell(completion(**fields)).kinds == [CompletionAccepted]


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
ENVELOPE = {"type": "zekt-shield-envelope", "recipients": []}
NOT_INSTALLED = {CONSUMER: consumer(installation_id=None)}


@pytest.mark.parametrize(
    ("reason", "known", "targets", "content"),
    [
        ("subscription_not_approved", catalog(subscriptions=[subscription(status="paused")]), TARGETS, {"a": 1}),
        ("event_type_not_offered", catalog(service={"event_types": ["release"]}), TARGETS, {"a": 1}),
        ("event_type_filter", catalog(subscriptions=[subscription(event_types=["release"])]), TARGETS, {"a": 1}),
        ("target_not_enabled", catalog(), {}, {"a": 1}),
        ("target_not_enabled", catalog(), {CONSUMER: consumer(enabled_as=["provider"])}, {"a": 1}),
        ("target_not_installed", catalog(), NOT_INSTALLED, {"a": 1}),
        ("shield_required", catalog(service={"shield_required": True}), TARGETS, {"a": 1}),
        ("schema_mismatch", catalog(service={"schema": SCHEMA}), TARGETS, {"a": 1}),
    ],
)
def test_a_subscription_that_is_not_delivered_to_is_recorded_with_its_reason(
    reason: str, known: CatalogAt, targets: dict[int, Repository], content: Any
) -> None:
    told = Teller(known, targets).tell(message(), completion(), content=Content(content))
    assert told.refusals == [reason]
    assert told.deliveries == set()


def test_a_schema_mismatch_names_the_path_and_not_the_value() -> None:
    told = Teller(catalog(service={"schema": SCHEMA})).tell(message(), completion(), content=Content({"a": 4711}))
    (refused,) = told.pages[0].refused
    assert "$.a" in refused.detail
    assert "4711" not in refused.detail


def test_a_shield_envelope_passes_where_plaintext_does_not() -> None:
    known = catalog(service={"shield_required": True, "schema": SCHEMA})
    assert len(Teller(known).tell(message(), completion(), content=Content(ENVELOPE)).deliveries) == 1


def test_a_payload_that_is_gone_is_not_sent_through_a_service_that_checks_it() -> None:
    known = catalog(service={"schema": SCHEMA})
    told = Teller(known).tell(message(), completion(), content=Content(available=False))
    assert told.refusals == ["payload_unavailable"]


def test_the_plain_event_has_no_payload_to_check() -> None:
    known = catalog("events", service={"shield_required": True, "schema": SCHEMA})
    assert len(Teller(known).tell(completion()).deliveries) == 1
