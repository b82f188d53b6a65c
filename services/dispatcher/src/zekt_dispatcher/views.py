"""The dispatcher's views, all made from its own events: timers, lists by status, and what a consumer may ask for.

| Partition | Id | For |
|---|---|---|
| `due` | time, stream | the sweeper |
| `deliveries` | time of the request, delivery id | `GET /api/deliveries` |
| `deliveries/{status}` | the same | the same, with `status` |
| `targets/{repository id}/{run id}` | the same | confirmations, by target and correlation id |
| `payloads/{target repository id}` | SHA-256, account id | `GET /api/payloads/{sha256}` |

A payload's document goes with the payload, those that list a delivery 396 days after its request.
"""

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from zekt_common.clock import to_micros
from zekt_common.envelope import Envelope, Event
from zekt_common.kit.sweeper import due, undue
from zekt_common.ports import PayloadRef, Put, Remove
from zekt_dispatcher import delivery_events as events
from zekt_dispatcher.delivery import stream_of
from zekt_dispatcher.delivery_state import Status

Change = Put | Remove

DELIVERIES: Final = "deliveries"
LISTED_FOR: Final = timedelta(days=396)
_MICROS_DIGITS: Final = 16


class ListedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """Which delivery a list entry means."""

    delivery_id: str


class PayloadGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Whose payload a target repository may fetch, and until when it is kept."""

    account_id: int
    expires_at: datetime


def project(envelope: Envelope, now: datetime) -> Sequence[Change]:
    """Return what the stored event changes in the views; what would have expired by `now` is not written again."""
    if envelope.type not in events.SCHEMAS:
        return []
    event = events.SCHEMAS.decode(envelope)
    if isinstance(event, events.DeliveryRequested):
        return _requested(event, now)
    if not isinstance(event, events.DeliveryStep):
        return []
    return [*_timers(event), *_moves(event, now)]


def by_status(status: str) -> str:
    """Return the partition of the deliveries in this status."""
    return f"{DELIVERIES}/{status}"


def by_target(repository_id: int, correlation_id: str) -> str:
    """Return the partition of the deliveries of one run to one repository."""
    return f"targets/{repository_id}/{correlation_id}"


def by_payload(target_repository_id: int) -> str:
    """Return the partition of the payloads that a repository may fetch."""
    return f"payloads/{target_repository_id}"


def _requested(event: events.DeliveryRequested, now: datetime) -> list[Change]:
    order = event.order
    target = by_target(order.target_repository_id, str(order.run_id))
    changes: list[Change] = []
    for partition in (DELIVERIES, by_status(Status.PENDING), target):
        changes += _listed(partition, order.delivery_id, event.at, now)
    if event.due_at is not None:
        changes.append(due(stream_of(order.delivery_id), event.due_at))
    if order.payload_ref is not None:
        changes += _granted(order.target_repository_id, order.payload_ref, now)
    return changes


def _listed(partition: str, delivery_id: str, requested_at: datetime, now: datetime) -> list[Put]:
    body = msgspec.json.encode(ListedDelivery(delivery_id=delivery_id))
    return _until(requested_at + LISTED_FOR, now, partition, _place(delivery_id, requested_at), body)


def _granted(target_repository_id: int, payload: PayloadRef, now: datetime) -> list[Put]:
    grant = PayloadGrant(account_id=payload.account_id, expires_at=payload.expires_at)
    id_ = f"{payload.sha256}:{payload.account_id}"
    return _until(payload.expires_at, now, by_payload(target_repository_id), id_, msgspec.json.encode(grant))


def _until(moment: datetime, now: datetime, partition: str, id_: str, body: bytes) -> list[Put]:
    ttl_s = math.ceil((moment - now).total_seconds())
    return [Put(partition=partition, id=id_, body=body, ttl_s=ttl_s)] if ttl_s > 0 else []


def _timers(event: events.DeliveryStep) -> list[Change]:
    stream = stream_of(event.delivery_id)
    changes: list[Change] = [] if event.ends_timer is None else [undue(stream, event.ends_timer)]
    begins = _BEGINS_TIMER.get(type(event))
    moment = begins(event) if begins else None
    return changes if moment is None else [*changes, due(stream, moment)]


_BEGINS_TIMER: Final[dict[type[Event], Callable[[Any], datetime | None]]] = {
    events.DeliveryAttempted: lambda event: event.deadline,
    events.AttemptFailed: lambda event: event.retry_at,
    events.AttemptAmbiguous: lambda event: event.retry_at,
    events.DeliveryPostponed: lambda event: event.retry_at,
    events.DeliveryReplayed: lambda event: event.due_at,
}


def _moves(event: events.DeliveryStep, now: datetime) -> list[Change]:
    """Return the changes that take the delivery from the lists it may be in to the one it now belongs to."""
    moved = _MOVES.get(type(event))
    if moved is None:
        return []
    before, after = moved
    place = _place(event.delivery_id, event.requested_at)
    removed = [Remove(partition=by_status(status), id=place) for status in before]
    return [*removed, *_listed(by_status(after), event.delivery_id, event.requested_at, now)]


_UNDISPATCHED: Final = (Status.PENDING, Status.DEAD_LETTERED)
_ARRIVED: Final = (Status.DISPATCHED, Status.CONFIRMED)
_MOVES: Final[dict[type[Event], tuple[tuple[Status, ...], Status]]] = {
    events.DeliveryDispatched: (_UNDISPATCHED, Status.DISPATCHED),
    events.DeliveryDeadLettered: ((Status.PENDING,), Status.DEAD_LETTERED),
    events.DeliveryExpired: ((Status.PENDING,), Status.EXPIRED),
    events.DeliveryConfirmed: ((Status.DISPATCHED,), Status.CONFIRMED),
    events.DeliveryCompleted: (_ARRIVED, Status.COMPLETED),
    events.DeliveryFailed: (_ARRIVED, Status.FAILED),
}


def _place(delivery_id: str, requested_at: datetime) -> str:
    return f"{to_micros(requested_at):0{_MICROS_DIGITS}d}:{delivery_id}"
