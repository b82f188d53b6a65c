import itertools
from datetime import UTC, datetime, timedelta

import msgspec

from zekt_cli.operations import StoredEvent
from zekt_cli.tracing.order import Step, in_causal_order
from zekt_common.envelope import Envelope

START = datetime(2026, 1, 1, tzinfo=UTC)


def event(event_id: str, cause: str, at_ms: float, service: str = "router") -> StoredEvent:
    stream, _, version = event_id.partition("@")
    envelope = Envelope(
        specversion="1.0",
        id=event_id,
        source="test",
        type="dev.zekt.test.happened",
        subject="1/2",
        time=START + timedelta(milliseconds=at_ms),
        datacontenttype="application/json",
        stream=stream,
        version=int(version),
        commitid="c",
        schemaversion=1,
        correlationid="1/2",
        causationid=cause,
        data=msgspec.Raw(b"{}"),
    )
    return StoredEvent(service, envelope)


def ids(steps: list[Step]) -> list[str]:
    return [step.event.envelope.id for step in steps]


CHAIN = [
    event("webhook/1/a@1", "github", 0, "ingress"),
    event("run/1/2@1", "webhook/1/a@1", 4),
    event("run/1/2@2", "run/1/2@1", 4),
    event("delivery/x@1", "run/1/2@2", 6, "dispatcher"),
    event("delivery/y@1", "run/1/2@2", 6, "dispatcher"),
]


def test_every_order_of_collection_gives_the_same_trace() -> None:
    expected = ids(in_causal_order(CHAIN))
    assert expected == ["webhook/1/a@1", "run/1/2@1", "run/1/2@2", "delivery/x@1", "delivery/y@1"]
    assert all(ids(in_causal_order(order)) == expected for order in itertools.permutations(CHAIN))


def test_a_cause_comes_first_even_if_its_clock_was_ahead() -> None:
    early_effect = event("delivery/x@1", "run/1/2@1", -5, "dispatcher")
    steps = in_causal_order([early_effect, event("run/1/2@1", "github", 0)])
    assert ids(steps) == ["run/1/2@1", "delivery/x@1"]
    assert [step.offset_ms for step in steps] == [0, -5]


def test_each_step_names_the_place_of_its_cause_and_the_time_since_the_first() -> None:
    steps = in_causal_order([*CHAIN, CHAIN[0]])
    assert [(step.number, step.cause, step.offset_ms) for step in steps] == [
        (1, None, 0),
        (2, 1, 4),
        (3, 2, 4),
        (4, 3, 6),
        (5, 3, 6),
    ]


def test_causes_that_run_in_a_circle_still_end() -> None:
    steps = in_causal_order([event("run/1/2@1", "run/1/2@2", 0), event("run/1/2@2", "run/1/2@1", 1)])
    assert sorted(ids(steps)) == ["run/1/2@1", "run/1/2@2"]
