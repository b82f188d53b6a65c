"""Any command that a delivery may get, in any order, at any time."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from zekt_dispatcher.delivery import Policy
from zekt_dispatcher.delivery_commands import (
    BeginAttempt,
    Command,
    Complete,
    Confirm,
    ExpireAttempt,
    Postpone,
    RecordAmbiguous,
    RecordDispatched,
    RecordFailure,
    Refuse,
    Replay,
    Request,
)
from zekt_dispatcher.delivery_events import Order

POLICY = Policy(max_attempts=4, max_age=timedelta(hours=1))
NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
DEADLINE = timedelta(seconds=15)
moments = st.integers(0, 7200).map(lambda seconds: NOON + timedelta(seconds=seconds))
attempts = st.integers(1, 6)
jitters = st.sampled_from([0.0, 0.5, 1.0])
runs = st.integers(1, 2)

openings = st.one_of(
    moments.map(lambda at: BeginAttempt(at=at, deadline=at + DEADLINE)),
    st.builds(Postpone, at=moments, category=st.just("busy"), reason=st.just(""), jitter=jitters),
    st.builds(Refuse, at=moments, category=st.just("gone"), reason=st.just("")),
)


def commands(order: Order) -> st.SearchStrategy[Command]:
    failures = st.builds(
        RecordFailure,
        at=moments,
        attempt=attempts,
        category=st.sampled_from(["unavailable", "rate_limit"]),
        reason=st.just(""),
        jitter=jitters,
        final=st.booleans(),
    )
    return st.one_of(
        openings,
        st.builds(Request, order=st.just(order), at=moments, event_time=st.just(NOON), then=st.none() | openings),
        st.builds(RecordDispatched, at=moments, attempt=attempts),
        failures,
        st.builds(
            RecordAmbiguous,
            at=moments,
            attempt=attempts,
            category=st.just("network"),
            reason=st.just(""),
            jitter=jitters,
        ),
        st.builds(ExpireAttempt, at=moments, jitter=jitters),
        st.builds(Confirm, at=moments, consumer_run_id=runs),
        st.builds(Complete, at=moments, consumer_run_id=runs, success=st.booleans()),
        st.builds(Replay, at=moments),
    )
