"""Which completion a message joins, and when: given arrivals in some order, then these items."""

import itertools
from collections.abc import Sequence

import pytest

from services.router.tests.told_runs import EVER, Fact, Teller, at, catalog, completion, failed, message
from zekt_router.run_events import (
    CompletionAccepted,
    MessageBlocked,
    MessageRecorded,
    RoutingFinished,
    RoutingStarted,
    RunRouted,
    WindowClosed,
)


def test_a_completion_in_events_mode_is_routed_at_once() -> None:
    told = Teller(catalog("events")).tell(completion())
    assert told.kinds == [CompletionAccepted, RoutingStarted, RunRouted, RoutingFinished]
    assert told.items == {(1, None, False)}
    assert told.pages[0].event_type == "zekt-workflow-completed"
    assert told.pages[0].routed[0].target_repository == "beta/renamed0"


def test_a_completion_that_takes_messages_waits_for_its_window() -> None:
    told = Teller().tell(completion())
    assert told.kinds == [CompletionAccepted]
    assert told.tell(at(1.999)).kinds == [CompletionAccepted]
    told.tell(at(2))
    assert told.kinds == [CompletionAccepted, WindowClosed, RoutingStarted, RunRouted, RoutingFinished]
    assert told.items == {(1, None, False)}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_message_goes_out_in_place_of_the_plain_event(order: Sequence[int]) -> None:
    facts: list[Fact] = [completion(1, 0), message(1, 1.5)]
    told = Teller().tell(*(facts[index] for index in order), EVER)
    assert told.items == {(1, "m", False)}
    assert told.pages[0].event_type == "deployment"
    assert told.pages[0].payload is not None
    assert bytes(told.pages[0].payload) == b'{"a": 1}'


def test_each_of_several_messages_goes_out() -> None:
    told = Teller().tell(message(1, 0, "a"), completion(1, 1), message(1, 2, "b"), EVER)
    assert told.items == {(1, "a", False), (1, "b", False)}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_message_stored_after_the_window_goes_out_marked_late_beside_the_plain_event(order: Sequence[int]) -> None:
    facts: list[Fact] = [completion(1, 0), message(1, 2.001)]
    told = Teller().tell(*(facts[index] for index in order), EVER)
    assert told.items == {(1, None, False), (1, "m", True)}


def test_a_message_of_a_failed_attempt_goes_out_with_the_rerun_that_succeeds() -> None:
    told = Teller().tell(message(1, 0), failed(1, 1), EVER)
    assert told.items == set()
    told.tell(completion(2, 600))
    assert told.items == {(2, "m", False)}


def test_attempts_are_separate() -> None:
    told = Teller(catalog("events")).tell(completion(1), completion(2, 60))
    assert told.items == {(1, None, False), (2, None, False)}
    assert len(told.deliveries) == 2


def test_an_item_starts_from_the_catalog_of_whom_its_attempt_belongs_to() -> None:
    told = Teller()
    told.catalogs = {1: catalog(version=5), 2: catalog("events", version=8)}
    told.tell(failed(1, 0), message(1, 0.5), completion(2, 1, owner_id=2))
    told.tell(completion(3, 2), at(4))
    started = [event for event in told.events if isinstance(event, RoutingStarted)]
    assert [(event.run_attempt, event.catalog_version) for event in started] == [(2, 8), (3, 5)]


def test_a_message_waits_while_an_attempt_before_the_known_completion_is_unknown() -> None:
    told = Teller().tell(completion(2, 1), message(1, 0.5))
    assert told.items == set()
    told.tell(completion(1, 0))
    assert told.items == {(1, "m", False)}


def test_a_message_joins_a_later_attempt_at_its_close_when_the_one_between_never_comes() -> None:
    told = Teller().tell(completion(2, 1), message(1, 0.5), at(2.9))
    assert told.items == set()
    assert told.tell(at(3)).items == {(2, "m", False)}


def test_a_late_message_before_an_unknown_attempt_has_a_due_time_of_its_own() -> None:
    told = Teller().tell(completion(2, 0), at(2), message(1, 10))
    recorded = told.events[-1]
    assert isinstance(recorded, MessageRecorded)
    assert recorded.due_at == at(10)
    told.tell(at(9.9))
    assert told.items == {(2, None, False)}
    told.tell(completion(1, 5))
    assert (1, "m", True) in told.items


def test_an_attempt_told_long_after_a_later_ones_window_does_not_take_the_message() -> None:
    facts: list[Fact] = [completion(2, 0), message(1, 1), completion(1, 5)]
    in_time = Teller().tell(*facts[:2], at(2), facts[2], EVER)
    after_a_backlog = Teller().tell(*facts, EVER)
    assert in_time.items == after_a_backlog.items == {(2, "m", False), (1, None, False)}


def test_a_message_to_a_workflow_in_events_mode_is_blocked_and_the_plain_event_stays() -> None:
    both: list[Fact] = [completion(1, 1), message(1, 0)]
    for facts in itertools.permutations(both):
        told = Teller(catalog("events")).tell(*facts, EVER)
        blocked = [event for event in told.events if isinstance(event, MessageBlocked)]
        assert [event.reason for event in blocked] == ["messages_not_enabled"]
        assert told.items == {(1, None, False)}


def test_a_message_over_512_kb_is_blocked_and_leaves_the_plain_event_alone() -> None:
    told = Teller().tell(message(1, 0, size_bytes=512 * 1024 + 1), completion(1, 0), EVER)
    assert [event.reason for event in told.events if isinstance(event, MessageBlocked)] == ["payload_too_large"]
    assert told.items == {(1, None, False)}


@pytest.mark.parametrize("repeats", [completion(), message(), EVER])
def test_a_repeat_changes_nothing(repeats: Fact) -> None:
    told = Teller().tell(message(), completion(), EVER)
    assert told.do(told.command(repeats)) == []


def test_the_same_completion_through_a_second_hook_changes_nothing() -> None:
    told = Teller().tell(completion(1, 0))
    assert told.do(told.command(completion(1, 1))) == []


def test_of_two_hooks_the_earlier_stored_time_counts_whichever_is_heard_of_first() -> None:
    for first, second in [(0, 1), (1, 0)]:
        told = Teller().tell(completion(1, first), completion(1, second), message(1, 2.5), EVER)
        assert told.items == {(1, None, False), (1, "m", True)}
