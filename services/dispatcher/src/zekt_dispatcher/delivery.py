"""The delivery: one subscription hears of one run, once. Stream `delivery/{delivery_id}`."""

import hashlib
from datetime import datetime, timedelta
from functools import partial
from typing import Any, assert_never

import msgspec

from zekt_common.decider import Decider
from zekt_common.envelope import Event
from zekt_dispatcher import delivery_events as events
from zekt_dispatcher.backoff import backoff
from zekt_dispatcher.delivery_commands import (
    BeginAttempt,
    Command,
    Complete,
    Confirm,
    ExpireAttempt,
    Opening,
    Postpone,
    RecordAmbiguous,
    RecordDispatched,
    RecordFailure,
    Refuse,
    Replay,
    Request,
)
from zekt_dispatcher.delivery_events import Order
from zekt_dispatcher.delivery_state import Delivery, Status, evolve


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """When to give up. Rate limits are GitHub's word to wait, so they do not count against `max_attempts`."""

    max_attempts: int = 10
    max_age: timedelta = timedelta(hours=48)


def decide(policy: Policy, state: Delivery, command: Command) -> list[Event]:  # noqa: PLR0911 - one return a command
    """Return what `command` leads to; nothing when it comes too late, too early or again."""
    match command:
        case Request():
            return _request(policy, state, command) if state.status is Status.ABSENT else []
        case BeginAttempt() | Postpone() | Refuse():
            return _open(policy, state, command) if _is_due(state, command.at) else []
        case RecordDispatched():
            return _dispatched(state, command)
        case RecordFailure():
            return _failed(policy, state, command) if state.open == command.attempt else []
        case RecordAmbiguous():
            return _in_doubt(policy, state, command) if state.open == command.attempt else []
        case ExpireAttempt():
            return _expire(policy, state, command)
        case Confirm() | Complete():
            return _heard(state, command)
        case Replay():
            return _replay(state, command.at)
        case _:
            assert_never(command)


def decider(policy: Policy) -> Decider[Delivery, Command]:
    """Return the aggregate under this policy."""
    return Decider(Delivery(), partial(decide, policy), evolve, events.SCHEMAS)


def is_too_old(policy: Policy, event_time: datetime, at: datetime) -> bool:
    """Return whether what was decided at `event_time` is not to be attempted any more."""
    return at - event_time > policy.max_age


def stream_of(delivery_id: str) -> str:
    """Return the name of the delivery's stream."""
    return f"delivery/{delivery_id}"


def replay_id(delivery_id: str, number: int) -> str:
    """Return the id of the delivery's replay with this number: always the same one."""
    return hashlib.sha256(f"{delivery_id}/replay/{number}".encode()).hexdigest()[:32]


def replay_order(order: Order, replay: str) -> Order:
    """Return the order of a replay: its original's, unchanged but for what says that it is one."""
    return msgspec.structs.replace(order, delivery_id=replay, is_replay=True, replay_of=order.delivery_id)


def _request(policy: Policy, state: Delivery, command: Request) -> list[Event]:
    too_old = is_too_old(policy, command.event_time, command.at)
    requested = events.DeliveryRequested(
        order=command.order,
        at=command.at,
        event_time=command.event_time,
        due_at=command.at if command.then is None and not too_old else None,
    )
    state = evolve(state, requested)
    if too_old:
        return [requested, _given_up_for_age(state, command.at)]
    return [requested, *(_open(policy, state, command.then) if command.then else [])]


def _is_due(state: Delivery, at: datetime) -> bool:
    pending = state.status is Status.PENDING and state.open is None
    return pending and (state.due_at is None or state.due_at <= at)


def _open(policy: Policy, state: Delivery, command: Opening) -> list[Event]:
    if is_too_old(policy, state.event_time or command.at, command.at):
        return [_given_up_for_age(state, command.at)]
    match command:
        case BeginAttempt(at=at, deadline=deadline):
            attempt = state.attempts + 1
            return [events.DeliveryAttempted(**_step(state, at), attempt=attempt, deadline=deadline)]
        case Postpone(at=at, category=category, reason=reason):
            wait = backoff(state.postponements + 1, jitter=command.jitter, not_before_s=command.not_before_s)
            return [events.DeliveryPostponed(**_step(state, at), category=category, reason=reason, retry_at=at + wait)]
        case Refuse(at=at, category=category, reason=reason):
            return [events.DeliveryDeadLettered(**_step(state, at), category=category, reason=reason)]
        case _:
            assert_never(command)


def _given_up_for_age(state: Delivery, at: datetime) -> Event:
    age_s = int((at - (state.event_time or at)).total_seconds())
    if state.attempts == 0:
        return events.DeliveryExpired(**_step(state, at), age_s=age_s)
    reason = f"not delivered within {age_s // 3600} hours"
    return events.DeliveryDeadLettered(**_step(state, at), category="expired", reason=reason)


def _dispatched(state: Delivery, command: RecordDispatched) -> list[Event]:
    """Believe GitHub's answer, even one that comes after the attempt's deadline."""
    wanted = state.status in (Status.PENDING, Status.DEAD_LETTERED)
    if not wanted or (command.attempt != state.open and command.attempt not in state.ambiguous):
        return []
    step = _step(state, command.at)
    return [events.DeliveryDispatched(**step, attempt=command.attempt, evidence="answer")]


def _failed(policy: Policy, state: Delivery, command: RecordFailure) -> list[Event]:
    counted = state.failures + (command.category != "rate_limit")
    last = command.final or counted >= policy.max_attempts
    wait = backoff(state.attempts, jitter=command.jitter, not_before_s=command.not_before_s)
    failed = events.AttemptFailed(
        **_step(state, command.at),
        attempt=command.attempt,
        category=command.category,
        reason=command.reason,
        status=command.status,
        retry_at=None if last else command.at + wait,
    )
    return [failed, *_given_up(evolve(state, failed), failed)]


def _in_doubt(policy: Policy, state: Delivery, command: RecordAmbiguous) -> list[Event]:
    last = state.failures + 1 >= policy.max_attempts
    doubtful = events.AttemptAmbiguous(
        **_step(state, command.at),
        attempt=command.attempt,
        category=command.category,
        reason=command.reason,
        retry_at=None if last else command.at + backoff(state.attempts, jitter=command.jitter),
    )
    return [doubtful, *_given_up(evolve(state, doubtful), doubtful)]


def _given_up(state: Delivery, last: events.AttemptFailed | events.AttemptAmbiguous) -> list[Event]:
    if last.retry_at is not None:
        return []
    step = _step(state, last.at)
    return [events.DeliveryDeadLettered(**step, category=last.category, reason=last.reason)]


def _expire(policy: Policy, state: Delivery, command: ExpireAttempt) -> list[Event]:
    if state.open is None or state.due_at is None or command.at < state.due_at:
        return []
    doubt = RecordAmbiguous(
        at=command.at,
        attempt=state.open,
        category="timeout",
        reason="no outcome was recorded before the attempt's deadline",
        jitter=command.jitter,
    )
    return _in_doubt(policy, state, doubt)


def _heard(state: Delivery, command: Confirm | Complete) -> list[Event]:
    """Take the consumer's word, also for an attempt of which nothing else is known."""
    if not state.may_have_arrived or state.status in (Status.COMPLETED, Status.FAILED):
        return []
    arrived: list[Event] = []
    if state.status in (Status.PENDING, Status.DEAD_LETTERED):
        attempt = state.open or state.ambiguous[-1]
        arrived = [events.DeliveryDispatched(**_step(state, command.at), attempt=attempt, evidence="consumer")]
        state = evolve(state, arrived[0])
    step = _step(state, command.at) | {"consumer_run_id": command.consumer_run_id}
    if isinstance(command, Complete):
        ended = events.DeliveryCompleted if command.success else events.DeliveryFailed
        return [*arrived, ended(**step, conclusion=command.conclusion)]
    return [*arrived, events.DeliveryConfirmed(**step)] if state.status is Status.DISPATCHED else []


def _replay(state: Delivery, at: datetime) -> list[Event]:
    if state.order is None or state.status in (Status.ABSENT, Status.PENDING):
        return []
    number = len(state.replays) + 1
    replay = replay_id(state.order.delivery_id, number)
    return [events.DeliveryReplayed(**_step(state, at), number=number, replay_id=replay, due_at=at)]


def _step(state: Delivery, at: datetime) -> dict[str, Any]:
    """Return what every event after the request says."""
    delivery_id = "" if state.order is None else state.order.delivery_id
    return {
        "delivery_id": delivery_id,
        "requested_at": state.requested_at or at,
        "at": at,
        "ends_timer": state.due_at,
    }
