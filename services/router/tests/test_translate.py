from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from zekt_common.contracts.router import (
    CatalogAdvanced,
    DeliveryRequested,
    RepositoryChanged,
    ServiceChanged,
    SubscriptionChanged,
)
from zekt_common.envelope import Envelope, Event, NewEvent, seal
from zekt_router.catalog_events import (
    AccountDefined,
    RepositoryDefined,
    RepositoryRemoved,
    ServiceDefined,
    ServiceRemoved,
    SubscriptionDefined,
    SubscriptionRemoved,
    WorkflowDefined,
    WorkflowRemoved,
)
from zekt_router.catalog_model import Account, Repository, Service, Subscription, Workflow
from zekt_router.run_events import RunRouted, WindowClosed
from zekt_router.run_model import Target
from zekt_router.translate import translate

AT = datetime(2026, 1, 1, tzinfo=UTC)
REPOSITORY = Repository(repository_id=11, repository="acme/provider", installation_id=5, enabled_as=["provider"])
SERVICE = Service(slug="ci", repository_id=11, workflow_path="ci.yml", event_types=["deployment"])
WORKFLOW = Workflow(repository_id=11, path="ci.yml")
SUBSCRIPTION = Subscription(
    subscription_id="s",
    service_slug="ci",
    repository_id=11,
    target_repository_id=22,
    target_repository="beta/consumer",
    target_account_id=2,
    status="approved",
)


def stored(body: Event) -> Envelope:
    event = NewEvent(body=body, source="zekt/router", subject="x", correlationid="c", causationid="d")
    return seal(event, stream="catalog/1", version=3, commitid="e", time=AT)


@pytest.mark.parametrize(
    ("event", "message", "removed"),
    [
        (RepositoryDefined(account_id=1, repository=REPOSITORY), RepositoryChanged, False),
        (RepositoryRemoved(account_id=1, repository=REPOSITORY), RepositoryChanged, True),
        (ServiceDefined(service=SERVICE), ServiceChanged, False),
        (ServiceRemoved(service=SERVICE), ServiceChanged, True),
        (SubscriptionDefined(subscription=SUBSCRIPTION), SubscriptionChanged, False),
        (SubscriptionRemoved(subscription=SUBSCRIPTION), SubscriptionChanged, True),
    ],
)
def test_ingress_hears_of_what_it_looks_up(event: Event, message: Any, removed: bool) -> None:  # noqa: FBT001 - a case
    (sent,) = translate(stored(event))
    body = msgspec.json.decode(sent.envelope.data, type=message)
    assert (sent.to, sent.envelope.id, sent.envelope.type) == ("ingress", "catalog/1@3", message.TYPE)
    assert (body.repository_id, body.removed) == (11, removed)


@pytest.mark.parametrize(
    "event",
    [
        AccountDefined(account=Account(account_id=1, login="acme")),
        WorkflowDefined(workflow=WORKFLOW),
        WorkflowRemoved(workflow=WORKFLOW),
    ],
)
def test_ingress_hears_that_the_catalog_advanced_even_by_what_it_does_not_look_up(event: Event) -> None:
    (sent,) = translate(stored(event))
    assert (sent.to, sent.envelope.type) == ("ingress", CatalogAdvanced.TYPE)


def test_a_page_becomes_a_numbered_request_for_each_target() -> None:
    targets = [
        Target(
            delivery_id=f"d{number}",
            subscription_id=f"s{number}",
            service_slug="ci",
            service_alias=alias,
            target_repository_id=22,
            target_repository="beta/consumer",
            installation_id=6,
        )
        for number, alias in enumerate(["", "Acme CI"])
    ]
    page = RunRouted(
        repository_id=11,
        repository="acme/provider",
        owner_id=1,
        owner="acme",
        run_id=7,
        run_attempt=2,
        message_id=None,
        event_type="zekt-workflow-completed",
        workflow="CI",
        conclusion="success",
        late=False,
        last_subscription_id="s1",
        routed=targets,
        refused=[],
    )
    sent = translate(stored(page))
    requests = [msgspec.json.decode(message.envelope.data, type=DeliveryRequested) for message in sent]
    assert [message.envelope.id for message in sent] == ["catalog/1@3.1", "catalog/1@3.2"]
    assert {message.to for message in sent} == {"dispatcher"}
    assert [request.delivery_id for request in requests] == ["d0", "d1"]
    assert [request.origin.repository for request in requests] == ["acme/provider", "Acme CI"]


def test_what_nobody_else_needs_to_know_is_not_published() -> None:
    assert translate(stored(WindowClosed(run_attempt=1, through=AT, plain=True))) == []
