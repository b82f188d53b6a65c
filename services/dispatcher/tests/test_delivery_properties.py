"""Whatever comes in whatever order, as often as it likes: one open attempt at most, and none after a dispatch."""

from datetime import datetime

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.dispatcher.tests.strategies import DEADLINE, NOON, POLICY, commands, openings
from zekt_common.envelope import Event
from zekt_dispatcher import delivery_events as events
from zekt_dispatcher.delivery import decide
from zekt_dispatcher.delivery_commands import (
    BeginAttempt,
    Request,
)
from zekt_dispatcher.delivery_events import Order
from zekt_dispatcher.delivery_state import Delivery, Status, evolve

OUTCOMES = (
    events.DeliveryDispatched,
    events.AttemptFailed,
    events.AttemptAmbiguous,
)


class Witness:
    """What the events say by themselves, kept apart from the state that decides."""

    def __init__(self) -> None:
        self.open: int | None = None
        self.arrived = False
        self.timers: set[datetime] = set()

    def see(self, event: Event) -> None:
        if isinstance(event, events.DeliveryAttempted):
            assert self.open is None, "two attempts are open"
            assert not self.arrived, "an attempt after the dispatch"
            self.open = event.attempt
        elif isinstance(event, OUTCOMES):
            self.open = None
            self.arrived = self.arrived or isinstance(event, events.DeliveryDispatched)
        self.follow_timers(event)

    def follow_timers(self, event: Event) -> None:
        if isinstance(event, events.DeliveryStep) and event.ends_timer is not None:
            self.timers.remove(event.ends_timer)
        for name in ("due_at", "deadline", "retry_at"):
            moment = getattr(event, name, None)
            if moment is not None and not isinstance(event, events.DeliveryReplayed):
                self.timers.add(moment)


@given(data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_order_of_commands_opens_two_attempts_or_attempts_after_a_dispatch(
    order: Order, data: st.DataObject
) -> None:
    state, witness = Delivery(), Witness()
    first = Request(order=order, at=NOON, event_time=NOON, then=BeginAttempt(at=NOON, deadline=NOON + DEADLINE))
    told = data.draw(st.lists(commands(order), max_size=30))
    for command in [first, *told]:
        for event in decide(POLICY, state, command):
            witness.see(event)
            state = evolve(state, event)
        assert decide(POLICY, state, first) == [], "a repeated request"
        assert witness.timers == ({state.due_at} if state.due_at else set())
        assert (state.due_at is not None) == (state.status is Status.PENDING), "pending always has a timer"


@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_two_who_decide_on_the_same_state_cannot_both_open_an_attempt(order: Order, data: st.DataObject) -> None:
    """The loser of the append decides again on the winner's state."""
    state = Delivery()
    for command in data.draw(st.lists(commands(order), max_size=12)):
        rival = data.draw(openings)
        for event in decide(POLICY, state, command):
            state = evolve(state, event)
        if state.open is not None:
            assert decide(POLICY, state, rival) == []


def test_stored_events_survive_json(order: Order) -> None:
    requested = events.DeliveryRequested(order=order, at=NOON, event_time=NOON, due_at=None)
    assert msgspec.json.decode(msgspec.json.encode(requested), type=events.DeliveryRequested) == requested
