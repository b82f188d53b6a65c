from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from zekt_common.envelope import Event
from zekt_dispatcher import delivery_events as events
from zekt_dispatcher.delivery import Policy, decide, replay_id, replay_order
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
from zekt_dispatcher.delivery_state import Delivery, Status, evolve

POLICY = Policy(max_attempts=3, max_age=timedelta(hours=48))
SECOND = timedelta(seconds=1)


class Story:
    """A delivery told by commands, from the request on."""

    def __init__(self, order: Order, noon: datetime) -> None:
        self.order, self.noon = order, noon
        self.state = Delivery()

    def at(self, seconds: float) -> datetime:
        return self.noon + timedelta(seconds=seconds)

    def tell(self, command: Command) -> list[Event]:
        decided = decide(POLICY, self.state, command)
        for event in decided:
            self.state = evolve(self.state, event)
        return decided

    def request(self, *, begin: bool = True, event_age_s: float = 0) -> list[Event]:
        then = BeginAttempt(at=self.noon, deadline=self.at(15)) if begin else None
        return self.tell(Request(order=self.order, at=self.noon, event_time=self.at(-event_age_s), then=then))

    def begin(self, seconds: float) -> list[Event]:
        return self.tell(BeginAttempt(at=self.at(seconds), deadline=self.at(seconds + 15)))

    def fail(self, seconds: float, attempt: int, category: events.Category = "unavailable") -> list[Event]:
        return self.tell(
            RecordFailure(at=self.at(seconds), attempt=attempt, category=category, reason="503", jitter=1.0, status=503)
        )

    def doubt(self, seconds: float, attempt: int) -> list[Event]:
        return self.tell(
            RecordAmbiguous(
                at=self.at(seconds), attempt=attempt, category="network", reason="dropped after sending", jitter=1.0
            )
        )


@pytest.fixture
def story(order: Order, noon: datetime) -> Story:
    return Story(order, noon)


def kinds(decided: Sequence[Event]) -> list[str]:
    return [event.TYPE.removeprefix("dev.zekt.delivery.") for event in decided]


def test_a_request_and_its_first_attempt_are_one_append(story: Story) -> None:
    requested, attempted = story.request()
    assert requested == events.DeliveryRequested(order=story.order, at=story.noon, event_time=story.noon, due_at=None)
    assert attempted == events.DeliveryAttempted(
        delivery_id=story.order.delivery_id,
        requested_at=story.noon,
        at=story.noon,
        ends_timer=None,
        attempt=1,
        deadline=story.at(15),
    )


def test_a_request_alone_is_due_at_once(story: Story) -> None:
    story.request(begin=False)
    assert story.state.due_at == story.noon
    assert kinds(story.begin(0)) == ["attempted"]


def test_a_repeated_request_changes_nothing(story: Story) -> None:
    story.request()
    assert story.request() == []


def test_an_answered_attempt_is_dispatched_and_ends_its_timer(story: Story) -> None:
    story.request()
    (dispatched,) = story.tell(RecordDispatched(at=story.at(1), attempt=1))
    assert isinstance(dispatched, events.DeliveryDispatched)
    assert dispatched.ends_timer == story.at(15)
    assert story.state.status is Status.DISPATCHED
    assert story.state.due_at is None


def test_a_dispatched_delivery_is_never_attempted_again(story: Story) -> None:
    story.request()
    story.tell(RecordDispatched(at=story.at(1), attempt=1))
    assert story.begin(100) == []
    assert story.request() == []
    assert story.tell(ExpireAttempt(at=story.at(100), jitter=0.0)) == []


def test_an_attempt_in_flight_is_left_alone_until_its_deadline(story: Story) -> None:
    story.request()
    assert story.begin(14) == []
    assert story.tell(ExpireAttempt(at=story.at(14), jitter=0.0)) == []


def test_an_attempt_without_outcome_is_called_ambiguous_at_its_deadline_and_tried_again(story: Story) -> None:
    story.request()
    (doubtful,) = story.tell(ExpireAttempt(at=story.at(15), jitter=0.5))
    assert isinstance(doubtful, events.AttemptAmbiguous)
    assert doubtful.retry_at == story.at(15.5)
    assert story.begin(15.4) == []
    (attempted,) = story.begin(15.5)
    assert isinstance(attempted, events.DeliveryAttempted)
    assert attempted.attempt == 2
    assert attempted.ends_timer == story.at(15.5)


def test_a_failed_attempt_is_retried_after_its_backoff(story: Story) -> None:
    story.request()
    (failed,) = story.fail(2, 1)
    assert isinstance(failed, events.AttemptFailed)
    assert failed.retry_at == story.at(3)
    assert story.begin(2.9) == []
    assert kinds(story.begin(3)) == ["attempted"]


def test_a_retry_is_never_before_the_time_that_github_asks_for(story: Story) -> None:
    story.request()
    (failed,) = story.tell(
        RecordFailure(
            at=story.at(1), attempt=1, category="rate_limit", reason="429", jitter=0.0, status=429, not_before_s=60
        )
    )
    assert isinstance(failed, events.AttemptFailed)
    assert failed.retry_at == story.at(61)


def test_the_last_attempt_ends_in_a_dead_letter(story: Story) -> None:
    story.request()
    story.fail(1, 1)
    story.begin(100)
    story.doubt(101, 2)
    story.begin(200)
    assert kinds(story.fail(201, 3)) == ["attempt-failed", "dead-lettered"]
    assert story.state.due_at is None
    assert story.begin(300) == []


def test_rate_limits_do_not_use_up_the_attempts(story: Story) -> None:
    story.request()
    for attempt in range(1, 20):
        assert kinds(story.fail(attempt * 1000, attempt, "rate_limit")) == ["attempt-failed"]
        story.begin(attempt * 1000 + 900)
    assert story.state.open == 20


def test_what_github_will_never_take_is_dead_lettered_at_once(story: Story) -> None:
    story.request()
    decided = story.tell(
        RecordFailure(at=story.at(1), attempt=1, category="gone", reason="404", jitter=0.5, status=404, final=True)
    )
    assert kinds(decided) == ["attempt-failed", "dead-lettered"]


def test_a_refusal_before_any_attempt_is_a_dead_letter(story: Story) -> None:
    story.request(begin=False)
    decided = story.tell(Refuse(at=story.at(1), category="gone", reason="identity refuses a token"))
    assert kinds(decided) == ["dead-lettered"]


def test_a_request_can_be_postponed_in_the_append_that_takes_it(story: Story) -> None:
    postpone = Postpone(at=story.noon, category="unavailable", reason="identity", jitter=0.0, not_before_s=5)
    decided = story.tell(Request(order=story.order, at=story.noon, event_time=story.noon, then=postpone))
    assert kinds(decided) == ["requested", "postponed"]
    assert story.state.due_at == story.at(5)
    assert story.state.attempts == 0


def test_postponing_again_and_again_waits_ever_longer(story: Story) -> None:
    story.request(begin=False)
    waits, now = [], 0.0
    for _ in range(5):
        (postponed,) = story.tell(Postpone(at=story.at(now), category="busy", reason="", jitter=1.0))
        assert isinstance(postponed, events.DeliveryPostponed)
        waits.append((postponed.retry_at - postponed.at).total_seconds())
        now += waits[-1]
    assert waits == [1, 2, 4, 8, 16]


def test_a_request_about_an_old_event_expires_without_an_attempt(story: Story) -> None:
    assert kinds(story.request(event_age_s=49 * 3600)) == ["requested", "expired"]
    assert story.state.status is Status.EXPIRED
    assert story.begin(1) == []


def test_a_delivery_that_stayed_postponed_for_too_long_expires(story: Story) -> None:
    story.request(begin=False)
    assert kinds(story.begin(49 * 3600)) == ["expired"]


def test_a_delivery_that_failed_for_too_long_is_dead_lettered(story: Story) -> None:
    story.request()
    story.fail(1, 1, "rate_limit")
    (given_up,) = story.begin(49 * 3600)
    assert isinstance(given_up, events.DeliveryDeadLettered)
    assert given_up.category == "expired"


def test_a_success_that_comes_after_the_deadline_is_believed(story: Story) -> None:
    story.request()
    story.tell(ExpireAttempt(at=story.at(15), jitter=0.0))
    assert kinds(story.tell(RecordDispatched(at=story.at(16), attempt=1))) == ["dispatched"]
    assert story.begin(100) == []


def test_a_failure_that_comes_after_the_deadline_changes_nothing(story: Story) -> None:
    story.request()
    story.tell(ExpireAttempt(at=story.at(15), jitter=0.0))
    assert story.fail(16, 1) == []
    assert story.doubt(16, 1) == []


def test_a_failed_attempt_cannot_succeed_afterwards(story: Story) -> None:
    story.request()
    story.fail(1, 1)
    assert story.tell(RecordDispatched(at=story.at(2), attempt=1)) == []


def test_a_consumer_confirms_and_completes(story: Story) -> None:
    story.request()
    story.tell(RecordDispatched(at=story.at(1), attempt=1))
    assert kinds(story.tell(Confirm(at=story.at(2), consumer_run_id=9))) == ["confirmed"]
    assert story.tell(Confirm(at=story.at(3), consumer_run_id=9)) == []
    completed = story.tell(Complete(at=story.at(4), consumer_run_id=9, success=True, conclusion="success"))
    assert kinds(completed) == ["completed"]
    assert story.tell(Complete(at=story.at(5), consumer_run_id=9, success=False)) == []
    assert story.state.status is Status.COMPLETED


def test_a_consumer_may_complete_without_having_confirmed(story: Story) -> None:
    story.request()
    story.tell(RecordDispatched(at=story.at(1), attempt=1))
    assert kinds(story.tell(Complete(at=story.at(2), consumer_run_id=9, success=False))) == ["failed"]


def test_a_consumers_word_settles_an_ambiguous_attempt(story: Story) -> None:
    story.request()
    story.doubt(1, 1)
    decided = story.tell(Confirm(at=story.at(2), consumer_run_id=9))
    assert kinds(decided) == ["dispatched", "confirmed"]
    assert isinstance(decided[0], events.DeliveryDispatched)
    assert decided[0].evidence == "consumer"
    assert decided[0].ends_timer == story.at(2)
    assert story.begin(100) == []


def test_a_consumer_cannot_have_received_what_was_never_sent(story: Story) -> None:
    story.request()
    story.fail(1, 1)
    assert story.tell(Confirm(at=story.at(2), consumer_run_id=9)) == []
    assert story.tell(Complete(at=story.at(2), consumer_run_id=9, success=True)) == []


def test_a_replay_is_a_new_delivery_with_an_id_that_follows_from_the_original(story: Story) -> None:
    story.request()
    assert story.tell(Replay(at=story.at(1))) == [], "it is still under way"
    story.tell(RecordDispatched(at=story.at(1), attempt=1))
    (first,) = story.tell(Replay(at=story.at(2)))
    (second,) = story.tell(Replay(at=story.at(3)))
    assert isinstance(first, events.DeliveryReplayed)
    assert isinstance(second, events.DeliveryReplayed)
    assert first.replay_id == replay_id(story.order.delivery_id, 1)
    assert (first.number, second.number) == (1, 2)
    assert story.state.replays == (first.replay_id, second.replay_id)
    assert story.state.status is Status.DISPATCHED


def test_a_replays_order_differs_only_in_saying_so(story: Story) -> None:
    order = replay_order(story.order, "new")
    assert (order.is_replay, order.replay_of, order.delivery_id) == (True, story.order.delivery_id, "new")
    assert order.payload == story.order.payload
