"""What deliveries come to, as metrics say it."""

from collections.abc import Sequence
from typing import Final, get_args

from zekt_common.envelope import Event
from zekt_common.telemetry.metrics import DELIVERIES, DELIVERY_LATENCY
from zekt_dispatcher import delivery_events as events
from zekt_dispatcher.delivery_state import Delivery

NO_REASON: Final = "none"
_OUTCOMES: Final[dict[type[Event], str]] = {
    events.DeliveryRequested: "requested",
    events.DeliveryDispatched: "dispatched",
    events.DeliveryConfirmed: "confirmed",
    events.DeliveryCompleted: "completed",
    events.DeliveryFailed: "failed",
    events.DeliveryExpired: "expired",
}


def report_from_zero() -> None:
    """Report deliveries that are given up from 0, for each reason, so that the first one is an increase."""
    for category in get_args(events.Category):
        DELIVERIES.add(0, outcome="dead_lettered", reason=category)


def tell(delivery: Delivery, appended: Sequence[Event]) -> None:
    """Count what was appended to the delivery, which is in the state after it."""
    for event in appended:
        if isinstance(event, events.DeliveryDeadLettered):
            DELIVERIES.add(outcome="dead_lettered", reason=event.category)
        elif isinstance(event, events.AttemptFailed | events.AttemptAmbiguous | events.DeliveryPostponed):
            DELIVERIES.add(outcome="delayed", reason=event.category)
        elif (outcome := _OUTCOMES.get(type(event))) is not None:
            DELIVERIES.add(outcome=outcome, reason=NO_REASON)
        if isinstance(event, events.DeliveryDispatched):
            _tell_latency(delivery, event)


def _tell_latency(delivery: Delivery, dispatched: events.DeliveryDispatched) -> None:
    """Measure from the routing decision; a replay says nothing about how fast deliveries are."""
    if delivery.event_time is not None and delivery.order is not None and not delivery.order.is_replay:
        DELIVERY_LATENCY.record(max((dispatched.at - delivery.event_time).total_seconds(), 0.0))
