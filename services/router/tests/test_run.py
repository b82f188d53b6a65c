"""One run's decisions: given arrivals in some order, when all is told, then these deliveries."""

import itertools
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from zekt_common.envelope import Event
from zekt_router.catalog_model import Account, Catalog, Mode, Repository, Service, Subscription, Workflow
from zekt_router.matching import CatalogAt
from zekt_router.policy import Blocked, Content, judge_content
from zekt_router.run import CloseWindows, Command, RecordCompletion, RecordMessage, RoutePage, decide
from zekt_router.run_events import (
    CompletionAccepted,
    MessageBlocked,
    MessageRecorded,
    RoutingFinished,
    RoutingStarted,
    RunBlocked,
    RunRouted,
    WindowClosed,
)
from zekt_router.run_model import Completion, Message
from zekt_router.run_state import Run, evolve

Fact = Completion | Message | datetime
T0 = datetime(2026, 1, 1, tzinfo=UTC)
PROVIDER, CONSUMER = 11, 22
CI = ".github/workflows/ci.yml"
EVER = T0 + timedelta(days=1)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def completion(attempt: int = 1, seconds: float = 0, **fields: Any) -> Completion:
    plain = Completion(
        received_at=at(seconds),
        repository_id=PROVIDER,
        repository="acme/provider",
        owner_id=1,
        run_id=7,
        run_attempt=attempt,
        workflow_path=CI,
        workflow_name="CI",
        conclusion="success",
        trigger="push",
        branch="main",
        commit_sha="c0ffee",
        head_repository_id=PROVIDER,
    )
    return replace(plain, **fields)


def failed(attempt: int = 1, seconds: float = 0) -> Completion:
    return completion(attempt, seconds, conclusion="failure")


def message(attempt: int = 1, seconds: float = 0, name: str = "m", **fields: Any) -> Message:
    plain = Message(
        message_id=name,
        received_at=at(seconds),
        repository_id=PROVIDER,
        owner_id=1,
        run_id=7,
        run_attempt=attempt,
        event_type="deployment",
        size_bytes=9,
        payload=msgspec.Raw(b'{"a": 1}'),
    )
    return replace(plain, **fields)


def subscription(number: int = 0, **fields: Any) -> Subscription:
    plain = Subscription(
        subscription_id=f"s{number:04d}",
        service_slug="ci",
        repository_id=PROVIDER,
        target_repository_id=CONSUMER + number,
        target_repository=f"beta/consumer{number}",
        target_account_id=2,
        status="approved",
    )
    return replace(plain, **fields)


def catalog(
    mode: Mode = "events+messages",
    *,
    version: int = 5,
    subscriptions: Iterable[Subscription] = (),
    service: dict[str, Any] | None = None,
    **workflow: Any,
) -> CatalogAt:
    allowed = {"mode": mode, "conclusions": ["success"]} | workflow
    offered = Service(slug="ci", repository_id=PROVIDER, workflow_path=CI, alias="Acme CI")
    every = list(subscriptions) or [subscription()]
    content = Catalog(
        account=Account(account_id=1, login="acme"),
        repositories={
            PROVIDER: Repository(
                repository_id=PROVIDER, repository="acme/provider", installation_id=5, enabled_as=["provider"]
            )
        },
        workflows={(PROVIDER, CI): replace(Workflow(repository_id=PROVIDER, path=CI), **allowed)},
        services={"ci": replace(offered, **(service or {}))},
        subscriptions={each.subscription_id: each for each in every},
    )
    return CatalogAt(content, version)


def consumer(number: int = 0, **fields: Any) -> Repository:
    plain = Repository(
        repository_id=CONSUMER + number,
        repository=f"beta/renamed{number}",
        installation_id=6,
        enabled_as=["consumer"],
    )
    return replace(plain, **fields)


TARGETS = {CONSUMER + number: consumer(number) for number in range(250)}


class Teller:
    """Tells a run what happens, routes to the end after each, and keeps every event."""

    def __init__(self, known: CatalogAt | None = None, targets: dict[int, Repository] | None = None) -> None:
        self.catalog = known or catalog()
        self.targets = TARGETS if targets is None else targets
        self.run = Run()
        self.events: list[Event] = []

    def tell(self, *facts: Fact, content: Content | None = None) -> "Teller":
        for fact in facts:
            self.do(self.command(fact))
            while (item := self.run.unfinished()) is not None:
                given = self.refusals_of(content or Content({"a": 1})) if item.message_id else {}
                page = RoutePage(item=item, catalog=self.catalog, targets=self.targets, content_refusals=given)
                self.do(page)
        return self

    def refusals_of(self, content: Content) -> dict[str, Blocked]:
        services = self.catalog.catalog.services
        judged = {slug: judge_content(service, content) for slug, service in services.items()}
        return {slug: refusal for slug, refusal in judged.items() if refusal is not None}

    def command(self, fact: Fact) -> Command:
        if isinstance(fact, Completion):
            return RecordCompletion(completion=fact, catalog=self.catalog)
        if isinstance(fact, Message):
            return RecordMessage(message=fact, catalog_version=self.catalog.version)
        return CloseWindows(through=fact, catalog_version=self.catalog.version)

    def do(self, command: Command) -> list[Event]:
        decided = decide(self.run, command)
        for event in decided:
            self.run = evolve(self.run, event)
        self.events += decided
        return decided

    @property
    def pages(self) -> list[RunRouted]:
        return [event for event in self.events if isinstance(event, RunRouted)]

    @property
    def items(self) -> set[tuple[int, str | None, bool]]:
        return {(page.run_attempt, page.message_id, page.late) for page in self.pages}

    @property
    def deliveries(self) -> set[tuple[str, bool]]:
        listed = [(target.delivery_id, page.late) for page in self.pages for target in page.routed]
        assert len(listed) == len(set(listed))
        return set(listed)

    @property
    def refusals(self) -> list[str]:
        return [refused.reason for page in self.pages for refused in page.refused]

    @property
    def kinds(self) -> list[type[Event]]:
        return [type(event) for event in self.events]


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


BLOCKED: list[tuple[str, CatalogAt, dict[str, Any]]] = [
    ("repository_not_enabled", CatalogAt(Catalog(), 0), {}),
    ("repository_not_enabled", catalog(), {"repository_id": 99}),
    ("workflow_not_listed", catalog(), {"workflow_path": "other.yml"}),
    ("fork", catalog(), {"head_repository_id": 99}),
    ("fork", catalog(), {"head_repository_id": None}),
    ("fork", catalog(events=["push"]), {"head_repository_id": 99, "trigger": "pull_request"}),
    ("trigger_not_listed", catalog(), {"trigger": "pull_request"}),
    ("trigger_not_listed", catalog(), {"trigger": "pull_request_target"}),
    ("trigger_not_listed", catalog(events=["push"]), {"trigger": "schedule"}),
    ("branch_not_listed", catalog(branches=["release/*"]), {}),
    ("conclusion_not_listed", catalog(), {"conclusion": "failure"}),
]


@pytest.mark.parametrize(("reason", "known", "fields"), BLOCKED)
def test_a_blocked_run_is_recorded_with_its_reason(reason: str, known: CatalogAt, fields: dict[str, Any]) -> None:
    told = Teller(known).tell(completion(**fields))
    (blocked,) = told.events
    assert isinstance(blocked, RunBlocked)
    assert (blocked.reason, blocked.catalog_version) == (reason, known.version)


@pytest.mark.parametrize(
    ("known", "fields"),
    [
        (catalog(events=["pull_request"]), {"trigger": "pull_request", "head_repository_id": 99}),
        (catalog(events=["pull_request_target"]), {"trigger": "pull_request_target"}),
        (catalog(branches=["release/*"]), {"branch": "release/1"}),
        (catalog(conclusions=[]), {"conclusion": "cancelled"}),
        (catalog(), {"workflow_path": f"{CI}@refs/heads/main"}),
    ],
)
def test_what_a_workflow_lists_counts(known: CatalogAt, fields: dict[str, Any]) -> None:
    assert Teller(known).tell(completion(**fields)).kinds == [CompletionAccepted]


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
ENVELOPE = {"type": "zekt-shield-envelope", "recipients": []}
NOT_INSTALLED = {CONSUMER: consumer(installation_id=None)}


@pytest.mark.parametrize(
    ("reason", "known", "targets", "content"),
    [
        ("subscription_not_approved", catalog(subscriptions=[subscription(status="paused")]), TARGETS, {"a": 1}),
        ("event_type_not_offered", catalog(service={"event_types": ["release"]}), TARGETS, {"a": 1}),
        ("event_type_filter", catalog(subscriptions=[subscription(event_types=["release"])]), TARGETS, {"a": 1}),
        ("target_not_enabled", catalog(), {}, {"a": 1}),
        ("target_not_enabled", catalog(), {CONSUMER: consumer(enabled_as=["provider"])}, {"a": 1}),
        ("target_not_installed", catalog(), NOT_INSTALLED, {"a": 1}),
        ("shield_required", catalog(service={"shield_required": True}), TARGETS, {"a": 1}),
        ("schema_mismatch", catalog(service={"schema": SCHEMA}), TARGETS, {"a": 1}),
    ],
)
def test_a_subscription_that_is_not_delivered_to_is_recorded_with_its_reason(
    reason: str, known: CatalogAt, targets: dict[int, Repository], content: Any
) -> None:
    told = Teller(known, targets).tell(message(), completion(), content=Content(content))
    assert told.refusals == [reason]
    assert told.deliveries == set()


def test_a_schema_mismatch_names_the_path_and_not_the_value() -> None:
    told = Teller(catalog(service={"schema": SCHEMA})).tell(message(), completion(), content=Content({"a": 4711}))
    (refused,) = told.pages[0].refused
    assert "$.a" in refused.detail
    assert "4711" not in refused.detail


def test_a_shield_envelope_passes_where_plaintext_does_not() -> None:
    known = catalog(service={"shield_required": True, "schema": SCHEMA})
    assert len(Teller(known).tell(message(), completion(), content=Content(ENVELOPE)).deliveries) == 1


def test_a_payload_that_is_gone_is_not_sent_through_a_service_that_checks_it() -> None:
    known = catalog(service={"schema": SCHEMA})
    told = Teller(known).tell(message(), completion(), content=Content(available=False))
    assert told.refusals == ["payload_unavailable"]


def test_the_plain_event_has_no_payload_to_check() -> None:
    known = catalog("events", service={"shield_required": True, "schema": SCHEMA})
    assert len(Teller(known).tell(completion()).deliveries) == 1


def test_subscriptions_are_routed_in_pages_of_a_hundred() -> None:
    known = catalog("events", subscriptions=[subscription(number) for number in range(250)])
    told = Teller(known).tell(completion())
    assert [len(page.routed) for page in told.pages] == [100, 100, 50]
    assert len(told.deliveries) == 250
    finished = told.events[-1]
    assert isinstance(finished, RoutingFinished)
    assert finished.routed == 250


def test_routing_continues_exactly_after_any_cut() -> None:
    known = catalog("events", subscriptions=[subscription(number) for number in range(200)])
    whole = Teller(known).tell(completion())
    for kept in range(1, len(whole.events)):
        resumed = Teller(known)
        resumed.events = whole.events[:kept]
        for event in resumed.events:
            resumed.run = evolve(resumed.run, event)
        resumed.tell(completion())
        expected = whole.events if kept > 1 else whole.events[:1]
        assert resumed.events == expected


def test_a_run_nobody_subscribes_to_is_finished_without_a_page() -> None:
    known = catalog("events", subscriptions=[subscription(service_slug="gone")])
    assert Teller(known).tell(completion()).kinds == [CompletionAccepted, RoutingStarted, RoutingFinished]


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
