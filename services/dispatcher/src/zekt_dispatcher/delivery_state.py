"""What is known of a delivery, and how each stored event changes it."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from zekt_common.envelope import Event
from zekt_dispatcher import delivery_events as events
from zekt_dispatcher.delivery_events import Order


class Status(StrEnum):
    """Where a delivery is on its way."""

    ABSENT = "absent"
    PENDING = "pending"
    DISPATCHED = "dispatched"
    CONFIRMED = "confirmed"
    COMPLETED = "completed"
    FAILED = "failed"
    DEAD_LETTERED = "dead-lettered"
    EXPIRED = "expired"


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery's state; `open` is the attempt that has been recorded without an outcome so far."""

    status: Status = Status.ABSENT
    order: Order | None = None
    requested_at: datetime | None = None
    event_time: datetime | None = None
    due_at: datetime | None = None
    attempts: int = 0
    failures: int = 0
    postponements: int = 0
    open: int | None = None
    ambiguous: tuple[int, ...] = ()
    consumer_run_id: int | None = None
    replays: tuple[str, ...] = ()

    @property
    def may_have_arrived(self) -> bool:
        """Whether the consumer can truthfully say that it has received the dispatch."""
        arrived = self.status in (Status.DISPATCHED, Status.CONFIRMED, Status.COMPLETED, Status.FAILED)
        return arrived or self.open is not None or bool(self.ambiguous)


def evolve(state: Delivery, event: Event) -> Delivery:
    """Return the state after `event`."""
    change = _EVOLVE.get(type(event))
    return state if change is None else msgspec.structs.replace(state, **change(state, event))


def _ended(status: Status) -> dict[str, Any]:
    return {"status": status, "open": None, "due_at": None}


_EVOLVE: dict[type[Event], Callable[[Delivery, Any], dict[str, Any]]] = {
    events.DeliveryRequested: lambda _, event: {
        "status": Status.PENDING,
        "order": event.order,
        "requested_at": event.at,
        "event_time": event.event_time,
        "due_at": event.due_at,
    },
    events.DeliveryAttempted: lambda _, event: {
        "attempts": event.attempt,
        "open": event.attempt,
        "due_at": event.deadline,
        "postponements": 0,
    },
    events.AttemptFailed: lambda state, event: {
        "open": None,
        "due_at": event.retry_at,
        "failures": state.failures + (event.category != "rate_limit"),
    },
    events.AttemptAmbiguous: lambda state, event: {
        "open": None,
        "due_at": event.retry_at,
        "failures": state.failures + 1,
        "ambiguous": (*state.ambiguous, event.attempt),
    },
    events.DeliveryPostponed: lambda state, event: {
        "due_at": event.retry_at,
        "postponements": state.postponements + 1,
    },
    events.DeliveryDispatched: lambda _, __: _ended(Status.DISPATCHED),
    events.DeliveryDeadLettered: lambda _, __: _ended(Status.DEAD_LETTERED),
    events.DeliveryExpired: lambda _, __: _ended(Status.EXPIRED),
    events.DeliveryConfirmed: lambda _, event: {
        "status": Status.CONFIRMED,
        "consumer_run_id": event.consumer_run_id,
    },
    events.DeliveryCompleted: lambda _, event: {
        "status": Status.COMPLETED,
        "consumer_run_id": event.consumer_run_id,
    },
    events.DeliveryFailed: lambda _, event: {"status": Status.FAILED, "consumer_run_id": event.consumer_run_id},
    events.DeliveryReplayed: lambda state, event: {"replays": (*state.replays, event.replay_id)},
}
