"""Catalogs and runs as operators see them: JSON in camelCase, without payloads."""

from collections.abc import Sequence
from typing import Any

import msgspec

from zekt_common.envelope import Envelope
from zekt_router.catalog_model import Catalog, Entity, Repository, Subscription
from zekt_router.matching import CatalogAt
from zekt_router.policy import Blocked, hindrance_of
from zekt_router.routing import Targets
from zekt_router.run_events import (
    RUN_SCHEMAS,
    CompletionAccepted,
    CompletionPredated,
    MessageBlocked,
    MessageRecorded,
    RoutingStarted,
    RunBlocked,
    RunRouted,
    WindowClosed,
)
from zekt_router.standing import present, present_login, terms_of

Shown = dict[str, Any]


def shown_catalog(at: CatalogAt, targets: Targets) -> Shown:
    """Return one account's catalog under present names; `blocked` says what stands in a repository's way."""
    catalog = at.catalog
    return {
        "version": at.version,
        "account": _account(catalog),
        "repositories": [_repository(catalog, repository) for repository in catalog.repositories.values()],
        "workflows": [_camel(workflow) for workflow in catalog.workflows.values()],
        "services": [_camel(service) for service in catalog.services.values()],
        "subscriptions": [_subscription(targets, subscription) for subscription in catalog.subscriptions.values()],
    }


def _account(catalog: Catalog) -> Shown | None:
    if catalog.account is None:
        return None
    terms = terms_of(catalog)
    return _camel(catalog.account) | {
        "login": present_login(catalog),
        "persona": terms.persona,
        "sku": terms.sku,
        "recorded": terms.recorded,
    }


def _repository(catalog: Catalog, repository: Repository) -> Shown:
    blocked = hindrance_of(catalog, repository)
    return _camel(present(catalog, repository)) | {"blocked": None if blocked is None else _camel(blocked)}


def _subscription(targets: Targets, subscription: Subscription) -> Shown:
    target = targets.get((subscription.target_account_id, subscription.target_repository_id))
    shown = _camel(subscription) | {"blocked": _camel(target) if isinstance(target, Blocked) else None}
    return shown | {"targetRepository": target.repository} if isinstance(target, Repository) else shown


def shown_run(events: Sequence[Envelope]) -> Shown:
    """Return what became of a run, from its stream."""
    story = _Story()
    for envelope in events:
        story.tell(envelope)
    return {
        "attempts": list(story.attempts.values()),
        "messages": list(story.messages.values()),
        "deliveries": story.deliveries,
        "refused": story.refused,
    }


class _Story:
    """A run's events retold, each entity by what it has come to."""

    def __init__(self) -> None:
        self.attempts: dict[int, Shown] = {}
        self.messages: dict[str, Shown] = {}
        self.deliveries: list[Shown] = []
        self.refused: list[Shown] = []

    def tell(self, envelope: Envelope) -> None:
        event = RUN_SCHEMAS.decode(envelope)
        match event:
            case RunBlocked() | CompletionAccepted():
                self._completion(event)
            case CompletionPredated():
                times = {"receivedAt": event.received_at, "windowEnd": event.window_end}
                self.attempts[event.run_attempt] |= times
            case WindowClosed():
                self.attempts[event.run_attempt] |= {"windowClosed": True}
            case MessageRecorded(message=message):
                self.messages[message.message_id] = _camel(message) | {"payload": None, "status": "waiting"}
            case MessageBlocked():
                outcome = {"status": "blocked", "reason": event.reason, "detail": event.detail}
                self.messages[event.message_id] |= outcome
            case RoutingStarted(message_id=str(message_id)):
                joined = {"status": "joined", "joinedAttempt": event.run_attempt, "late": event.late}
                self.messages[message_id] |= joined
            case RunRouted():
                self._routed(event, envelope)

    def _completion(self, event: RunBlocked | CompletionAccepted) -> None:
        outcome: Shown = (
            {"status": "blocked", "reason": event.reason, "detail": event.detail}
            if isinstance(event, RunBlocked)
            else {"status": "accepted", "takesMessages": event.takes_messages, "windowEnd": event.window_end}
        )
        shown = _camel(event.completion) | outcome | {"catalogVersion": event.catalog_version}
        self.attempts[event.completion.run_attempt] = shown

    def _routed(self, event: RunRouted, envelope: Envelope) -> None:
        item = {
            "runAttempt": event.run_attempt,
            "messageId": event.message_id,
            "eventType": event.event_type,
            "late": event.late,
            "eventId": envelope.id,
            "at": envelope.time,
        }
        self.deliveries += [_camel(target) | item for target in event.routed]
        self.refused += [_camel(refused) | item for refused in event.refused]


def _camel(entity: Entity | msgspec.Struct) -> Shown:
    """Return the fields under their wire names; what is inside of them, a schema say, stays as it is."""
    return {_wire(name): value for name, value in msgspec.structs.asdict(entity).items()}


def _wire(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
