"""No order, repetition or backlog of arrivals changes what is delivered."""

import itertools
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.tests.told_runs import EVER, Teller, completion, failed, message
from zekt_router.run_model import Completion, Message

ARRIVALS: dict[str, list[Completion | Message]] = {
    "two attempts and their messages": [
        completion(1, 0),
        completion(2, 1.0),
        message(1, 0.5, "a"),
        message(2, 1.2, "b"),
        message(1, 1.9, "c"),
    ],
    "a failed attempt, its rerun and a second hook": [
        failed(1, 0),
        completion(2, 1.0),
        completion(2, 1.1),
        message(1, 0.5, "a"),
        message(2, 2.9, "b"),
    ],
    "a gap": [completion(3, 0), failed(1, 0.5), message(1, 0.1, "a"), message(2, 0.2, "b"), completion(3, 0.3)],
    "three attempts": [failed(1, 0), failed(2, 0.5), completion(3, 1), message(1, 0.1, "a"), message(3, 0.2, "b")],
    "a late message": [completion(1, 0), message(1, 0.1, "a"), message(1, 5, "b"), failed(2, 1)],
}


@pytest.mark.parametrize("facts", ARRIVALS.values(), ids=ARRIVALS.keys())
def test_every_order_of_arrival_gives_the_same_deliveries(facts: list[Completion | Message]) -> None:
    expected = Teller().tell(*facts, EVER).deliveries
    assert expected
    for order in itertools.permutations(facts):
        assert Teller().tell(*order, EVER).deliveries == expected


@st.composite
def runs(draw: st.DrawFn) -> list[Completion | Message]:
    """Completions and messages of up to four attempts, all stored within one another's windows."""
    moments = st.integers(0, 1999).map(lambda milliseconds: milliseconds / 1000)
    facts: list[Completion | Message] = []
    for number in draw(st.sets(st.integers(1, 4), min_size=1)):
        make = completion if draw(st.booleans()) else failed
        facts += [make(number, draw(moments)) for _ in range(draw(st.integers(1, 2)))]
    senders = draw(st.lists(st.integers(1, 4), max_size=4))
    facts += [message(sender, draw(moments), f"m{index}") for index, sender in enumerate(senders)]
    return facts


@settings(max_examples=300, deadline=None)
@given(runs(), st.data())
def test_any_order_and_repetition_within_the_windows_gives_the_same_deliveries(
    facts: list[Completion | Message], data: st.DataObject
) -> None:
    first = data.draw(st.permutations(facts))
    repeated = data.draw(st.permutations([*facts, *data.draw(st.lists(st.sampled_from(facts), max_size=4))]))
    assert Teller().tell(*first, EVER).deliveries == Teller().tell(*repeated, EVER, EVER).deliveries


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 60), st.sampled_from(["completed", "failed", "message"])),
        max_size=8,
    ),
    st.lists(st.booleans(), min_size=9, max_size=9),
)
def test_a_backlog_of_any_length_gives_the_same_deliveries(
    stored: list[tuple[int, int, str]], closes: list[bool]
) -> None:
    makers: dict[str, Any] = {"completed": completion, "failed": failed}
    facts: list[Completion | Message] = []
    for index, (number, tenths, kind) in enumerate(sorted(stored, key=lambda fact: fact[1])):
        moment = tenths / 10 + index / 1000
        facts.append(message(number, moment, f"m{index}") if kind == "message" else makers[kind](number, moment))
    prompt, delayed = Teller(), Teller()
    for fact, close in zip(facts, closes, strict=False):
        just_before = fact.received_at - timedelta(microseconds=1)
        prompt.tell(just_before, fact)
        delayed.tell(*([just_before, fact] if close else [fact]))
    assert prompt.tell(EVER).deliveries == delayed.tell(EVER).deliveries
