"""Routing page by page, and on after a cut."""

from services.router.tests.told_runs import Teller, catalog, completion, subscription
from zekt_router.run_events import CompletionAccepted, RoutingFinished, RoutingStarted
from zekt_router.run_state import evolve


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
