from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, get_args

import msgspec
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric

from zekt_common.envelope import Event
from zekt_common.telemetry.metrics import install_meter_provider
from zekt_dispatcher.allowances import RESET_S, SHOWN, Allowances
from zekt_dispatcher.budgets import Budgets
from zekt_dispatcher.delivery_events import (
    AttemptFailed,
    Category,
    DeliveryDeadLettered,
    DeliveryDispatched,
    Order,
)
from zekt_dispatcher.delivery_state import Delivery
from zekt_dispatcher.telling import report_from_zero, tell

Points = Callable[[str], dict[tuple[Any, ...], Any]]


@pytest.fixture
def points() -> Iterator[Points]:
    """What is reported under a name, by attributes."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    install_meter_provider(provider)
    yield lambda name: {tuple((point.attributes or {}).values()): point for point in _metric(reader, name)}
    install_meter_provider(None)
    provider.shutdown()


def test_what_deliveries_come_to_is_counted_by_reason(points: Points, noon: datetime) -> None:
    tell(Delivery(), [_dispatched(noon)])
    tell(Delivery(), [_failed(noon), DeliveryDeadLettered(**_step(noon), category="gone", reason="404")])
    found = {attributes: point.value for attributes, point in points("zekt.deliveries").items()}
    assert found == {("dispatched", "none"): 1, ("delayed", "timeout"): 1, ("dead_lettered", "gone"): 1}


def test_the_first_delivery_that_is_given_up_is_one_more_than_was_reported_before(
    points: Points, noon: datetime
) -> None:
    """A series that begins with 1 has not grown, to Prometheus, and no objective would notice."""
    report_from_zero()
    before = {attributes: point.value for attributes, point in points("zekt.deliveries").items()}
    tell(Delivery(), [DeliveryDeadLettered(**_step(noon), category="auth", reason="401")])
    after = {attributes: point.value for attributes, point in points("zekt.deliveries").items()}
    assert before == {("dead_lettered", category): 0 for category in get_args(Category)}
    assert after == {**before, ("dead_lettered", "auth"): 1}


def test_latency_runs_from_the_decision_to_the_dispatch(points: Points, order: Order, noon: datetime) -> None:
    decided = Delivery(order=order, event_time=noon - timedelta(seconds=3))
    tell(decided, [_dispatched(noon)])
    (point,) = points("zekt.delivery.latency").values()
    assert (point.count, point.sum) == (1, 3.0)


def test_a_replay_says_nothing_of_latency(points: Points, order: Order, noon: datetime) -> None:
    replay = msgspec.structs.replace(order, is_replay=True)
    tell(Delivery(order=replay, event_time=noon - timedelta(days=3)), [_dispatched(noon)])
    assert points("zekt.delivery.latency") == {}


def test_only_the_installations_nearest_their_limit_are_reported(points: Points) -> None:
    allowances, budgets = Allowances(), Budgets(8)
    for installation_id in range(1, 1 + 5 * SHOWN):
        allowances.note(installation_id, 5000 - installation_id)
    allowances.note(1, None)
    budgets.pause(3, 60)
    unwatch = allowances.watch(budgets)
    reported = {attributes: point.value for attributes, point in points("zekt.github.rate_limit.remaining").items()}
    assert len(reported) == SHOWN
    assert reported["50",] == 4950
    assert [point.value for point in points("zekt.github.rate_limit.paused").values()] == [1]
    unwatch()
    assert points("zekt.github.rate_limit.remaining") == {}


def test_what_github_said_an_hour_ago_is_forgotten() -> None:
    now = [1000.0]
    allowances = Allowances(monotonic=lambda: now[0])
    allowances.note(1, 7)
    now[0] += RESET_S
    allowances.note(2, 9)
    assert list(allowances.lowest()) == [(9, {"installation": "2"})]


def _dispatched(at: datetime) -> Event:
    return DeliveryDispatched(**_step(at), attempt=1, evidence="answer")


def _failed(at: datetime) -> Event:
    return AttemptFailed(**_step(at), attempt=1, category="timeout", reason="slow", status=None, retry_at=None)


def _step(at: datetime) -> dict[str, Any]:
    return {"delivery_id": "d1", "requested_at": at, "at": at, "ends_timer": None}


def _metric(reader: InMemoryMetricReader, name: str) -> list[Any]:
    batch = reader.get_metrics_data()
    metrics: Sequence[Metric] = batch.resource_metrics[0].scope_metrics[0].metrics if batch else []
    return [point for metric in metrics if metric.name == name for point in metric.data.data_points]
