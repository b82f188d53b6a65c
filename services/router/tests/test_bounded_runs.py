"""However few events a decision may have, and wherever a process dies between two, the deliveries are the same."""

import itertools
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.tests.test_run_orders import ARRIVALS, runs
from services.router.tests.told_runs import EVER, Fact, Teller, at, catalog, completion, failed, message
from zekt_common.append_limits import MAX_EVENTS
from zekt_router.run import EVENTS_AT_ONCE
from zekt_router.run_events import MessageBlocked, RoutingStarted, WindowClosed
from zekt_router.run_model import PAGE_SIZE, Completion, Message

UNBOUNDED = 10_000
MANY = [message(1, number / 1000, f"m{number:03d}") for number in range(120)]


@pytest.mark.parametrize("at_once", [1, 2, 3])
@pytest.mark.parametrize("facts", ARRIVALS.values(), ids=ARRIVALS.keys())
def test_every_order_of_arrival_gives_what_unbounded_decisions_give(
    facts: list[Completion | Message], at_once: int
) -> None:
    expected = Teller(at_once=UNBOUNDED).tell(*facts, EVER).deliveries
    for order in itertools.permutations(facts):
        assert Teller(at_once=at_once).tell(*order, EVER).deliveries == expected


@settings(max_examples=300, deadline=None)
@given(runs(), st.integers(1, 4), st.data())
def test_a_process_that_dies_between_any_two_decisions_changes_nothing(
    facts: list[Completion | Message], at_once: int, data: st.DataObject
) -> None:
    """What was cut short comes again in any order, behind whatever else has come meanwhile."""
    expected = Teller(at_once=UNBOUNDED).tell(*data.draw(st.permutations(facts)), EVER).deliveries
    told = Teller(at_once=at_once)
    for fact in data.draw(st.permutations(facts)):
        cut_short(told, fact, data.draw(st.integers(0, 3)))
    told.tell(*data.draw(st.permutations(facts)))
    cut_short(told, EVER, data.draw(st.integers(0, 3)))
    assert told.tell(EVER).deliveries == expected


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 60), st.sampled_from(["completed", "failed", "message"]))),
    st.integers(1, 4),
    st.data(),
)
def test_windows_close_alike_whatever_the_bound_and_however_often_closing_is_cut_short(
    stored: list[tuple[int, int, str]], at_once: int, data: st.DataObject
) -> None:
    whole, told = Teller(at_once=UNBOUNDED), Teller(at_once=at_once)
    for fact in in_order(stored):
        just_before = fact.received_at - timedelta(microseconds=1)
        whole.tell(just_before, fact)
        cut_short(told, just_before, data.draw(st.integers(0, 3)))
        cut_short(told, fact, data.draw(st.integers(0, 3)))
        told.tell(fact)
    assert told.tell(EVER).deliveries == whole.tell(EVER).deliveries


def in_order(stored: list[tuple[int, int, str]]) -> list[Completion | Message]:
    facts: list[Completion | Message] = []
    for index, (number, tenths, kind) in enumerate(sorted(stored, key=lambda fact: fact[1])):
        moment = tenths / 10 + index / 1000
        if kind == "message":
            facts.append(message(number, moment, f"m{index}"))
        else:
            facts.append((completion if kind == "completed" else failed)(number, moment))
    return facts


def cut_short(told: Teller, fact: Fact, decisions: int) -> None:
    for _ in range(decisions):
        told.begin(fact)


def test_messages_that_came_in_time_are_in_time_in_whichever_decision_they_join() -> None:
    told = Teller().tell(*MANY, completion(1, 1))
    assert told.items == {(1, each.message_id, False) for each in MANY}
    assert WindowClosed not in told.tell(at(2.9)).kinds
    assert told.tell(EVER).kinds.count(WindowClosed) == 1
    assert (1, None, False) not in told.items


def test_a_window_is_not_closed_before_all_that_came_in_time_have_joined() -> None:
    """Attempt 1 was never heard of, so its messages join attempt 2 where that one's window closes."""
    told = Teller().tell(*MANY, completion(2, 1))
    assert told.items == set()
    while WindowClosed not in told.kinds:
        assert told.begin(EVER)
    assert told.items == {(2, each.message_id, False) for each in MANY}
    assert not told.begin(EVER)


def test_what_a_dead_process_left_is_joined_by_the_repeated_completion() -> None:
    told = Teller().tell(*MANY)
    told.begin(completion(1, 1))
    assert 0 < len(told.items) < len(MANY)
    assert len(told.tell(completion(1, 1)).items) == len(MANY)


def test_what_a_dead_process_left_is_joined_before_an_earlier_hook_moves_the_window() -> None:
    late = [*MANY, message(1, 2.9, "just in time")]
    whole, told = Teller(at_once=UNBOUNDED), Teller()
    whole.tell(*late, completion(1, 1), completion(1, 0.5), EVER)
    told.tell(*late)
    told.begin(completion(1, 1))
    told.tell(completion(1, 0.5), completion(1, 1), EVER)
    assert told.items == whole.items == {(1, each.message_id, False) for each in late}


@pytest.mark.parametrize("other", [message(2, 1.5, "another"), failed(2, 1.5), EVER])
def test_what_a_dead_process_left_is_joined_by_whatever_comes_next(other: Fact) -> None:
    told = Teller().tell(*MANY)
    told.begin(completion(1, 1))
    told.tell(other)
    assert {(1, each.message_id, False) for each in MANY} <= told.items


@pytest.mark.parametrize(
    "facts",
    [
        [*MANY, completion(1, 1)],
        [*MANY, completion(2, 1), EVER],
        [*(completion(number, 0) for number in range(1, 101)), EVER],
        [*(message(number, 0, f"m{number}") for number in range(1, 101)), completion(101, 1), EVER],
    ],
    ids=["messages of one attempt", "messages over a gap", "attempts", "messages of as many attempts"],
)
@pytest.mark.parametrize("mode", ["events", "events+messages"])
def test_no_decision_is_more_than_an_append_takes_with_what_a_batch_may_hold_already(
    facts: list[Fact], mode: str
) -> None:
    told = Teller(catalog("events" if mode == "events" else "events+messages"))
    for fact in facts:
        while decided := told.do(told.command(fact)):
            assert len(decided) <= EVENTS_AT_ONCE + 1 <= MAX_EVENTS - PAGE_SIZE // 2
        while told.begin(fact):
            pass
    assert told.kinds.count(RoutingStarted) + told.kinds.count(MessageBlocked) >= 100
