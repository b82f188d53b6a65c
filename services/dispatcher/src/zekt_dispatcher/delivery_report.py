"""A delivery as its operators see it: its facts, its attempts with times and reasons, and what the consumer said."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from zekt_common.envelope import Event
from zekt_dispatcher import delivery_events as events
from zekt_dispatcher.delivery_state import Delivery, evolve


class AttemptReport(msgspec.Struct, kw_only=True, rename="camel"):
    """One attempt. Without an outcome it is in flight, or nobody has noticed yet that it never ended."""

    attempt: int
    at: datetime
    deadline: datetime
    outcome: Literal["open", "dispatched", "failed", "ambiguous"] = "open"
    ended_at: datetime | None = None
    status: int | None = None
    category: str | None = None
    reason: str | None = None
    retry_at: datetime | None = None


class DeliverySummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One line of a list of deliveries."""

    id: str
    status: str
    requested_at: datetime
    event_type: str
    source: str
    target: str
    run_id: int
    run_attempt: int
    attempts: int
    ambiguous_attempts: int
    next_at: datetime | None
    reason: str | None
    is_replay: bool


class Postponement(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A time when no attempt could be made."""

    at: datetime
    category: str
    reason: str
    retry_at: datetime


class DeliveryDetail(DeliverySummary, frozen=True, kw_only=True, rename="camel"):
    """All that is known of a delivery but its payload."""

    correlation_id: str
    subscription_id: str
    message_id: str | None
    service: str
    size_bytes: int
    payload_sha256: str | None
    late: bool
    event_time: datetime
    replay_of: str | None
    replays: list[str]
    ended_at: datetime | None
    confirmed_at: datetime | None
    completed_at: datetime | None
    conclusion: str | None
    attempt_list: list[AttemptReport]
    postponements: list[Postponement]


def summarise(history: Sequence[Event]) -> DeliverySummary:
    """Return the list line of a delivery with these events."""
    return DeliverySummary(**_summary(history))


def describe(history: Sequence[Event]) -> DeliveryDetail:
    """Return everything about a delivery with these events, of which the first is its request."""
    state = _state(history)
    order = _requested(history).order
    ended = _last(history, events.DeliveryDispatched, events.DeliveryDeadLettered, events.DeliveryExpired)
    completed = _last(history, events.DeliveryCompleted, events.DeliveryFailed)
    return DeliveryDetail(
        **_summary(history),
        correlation_id=order.correlation_id,
        subscription_id=order.subscription_id,
        message_id=order.message_id,
        service=f"{order.source.service_owner}/{order.source.service_slug}",
        size_bytes=order.size_bytes,
        payload_sha256=order.payload_ref.sha256 if order.payload_ref else None,
        late=order.late,
        event_time=_requested(history).event_time,
        replay_of=order.replay_of,
        replays=list(state.replays),
        ended_at=_at(ended),
        confirmed_at=_at(_last(history, events.DeliveryConfirmed)),
        completed_at=_at(completed),
        conclusion=getattr(completed, "conclusion", None),
        attempt_list=_attempts(history),
        postponements=[_postponement(event) for event in history if isinstance(event, events.DeliveryPostponed)],
    )


def _summary(history: Sequence[Event]) -> dict[str, Any]:
    state, requested = _state(history), _requested(history)
    order = requested.order
    reasons = [event.reason for event in history if isinstance(event, events.DeliveryDeadLettered)]
    return {
        "id": order.delivery_id,
        "status": state.status.value,
        "requested_at": requested.at,
        "event_type": order.event_type,
        "source": order.source.repository,
        "target": order.target_repository,
        "run_id": order.run_id,
        "run_attempt": order.run_attempt,
        "attempts": state.attempts,
        "ambiguous_attempts": len(state.ambiguous),
        "next_at": state.due_at,
        "reason": reasons[-1] if reasons else None,
        "is_replay": order.is_replay,
    }


def _state(history: Sequence[Event]) -> Delivery:
    state = Delivery()
    for event in history:
        state = evolve(state, event)
    return state


def _requested(history: Sequence[Event]) -> events.DeliveryRequested:
    return next(event for event in history if isinstance(event, events.DeliveryRequested))


def _last(history: Sequence[Event], *kinds: type[Event]) -> Event | None:
    return next((event for event in reversed(history) if isinstance(event, kinds)), None)


def _at(event: Event | None) -> datetime | None:
    return event.at if isinstance(event, events.DeliveryStep) else None


def _attempts(history: Sequence[Event]) -> list[AttemptReport]:
    reports: dict[int, AttemptReport] = {}
    for event in history:
        match event:
            case events.DeliveryAttempted():
                reports[event.attempt] = AttemptReport(attempt=event.attempt, at=event.at, deadline=event.deadline)
            case events.DeliveryDispatched():
                report = reports[event.attempt]
                report.outcome, report.ended_at, report.retry_at = "dispatched", event.at, None
            case events.AttemptFailed() | events.AttemptAmbiguous():
                _note_trouble(reports[event.attempt], event)
            case _:
                continue
    return list(reports.values())


def _note_trouble(report: AttemptReport, event: events.AttemptFailed | events.AttemptAmbiguous) -> None:
    report.outcome = "failed" if isinstance(event, events.AttemptFailed) else "ambiguous"
    report.status = event.status if isinstance(event, events.AttemptFailed) else None
    report.ended_at, report.retry_at = event.at, event.retry_at
    report.category, report.reason = event.category, event.reason


def _postponement(event: events.DeliveryPostponed) -> Postponement:
    return Postponement(at=event.at, category=event.category, reason=event.reason, retry_at=event.retry_at)
