"""Every webhook that is taken in is counted by its event's type, of whichever kind."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from zekt_common.telemetry.metrics import WEBHOOKS_RECEIVED, install_meter_provider

from .conftest import Running, Sender, webhook_in


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    install_meter_provider(provider)
    yield reader
    install_meter_provider(None)
    provider.shutdown()


def counted(reader: InMemoryMetricReader) -> dict[tuple[str, str], int]:
    """Return how many webhooks were counted, by event and outcome."""
    data: Any = reader.get_metrics_data()
    metrics = [each for one in data.resource_metrics for scope in one.scope_metrics for each in scope.metrics]
    points = [point for each in metrics if each.name == WEBHOOKS_RECEIVED.name for point in each.data.data_points]
    return {(point.attributes["event"], point.attributes["outcome"]): point.value for point in points}


async def test_events_of_unknown_types_are_accepted_stored_and_counted_by_their_type(
    reader: InMemoryMetricReader, running: Running, sender: Sender
) -> None:
    body = json.dumps({"action": "waved", "organization": {"id": 7_001}}).encode()
    for event in ("never_heard_of", "never_heard_of", "sponsorship"):
        assert (await sender.send(body, event=event)).told == (202, "accepted")
    headers = sender.headers(body, event="sponsorship")
    assert (await running.webhook(body, headers)).told == (202, "accepted")
    assert (await running.webhook(body, headers)).told == (202, "duplicate")
    await sender.send(await sender.completed())
    assert counted(reader) == {
        ("never_heard_of", "accepted"): 2,
        ("sponsorship", "accepted"): 2,
        ("sponsorship", "duplicate"): 1,
        ("workflow_run", "accepted"): 1,
    }
    stored = [webhook_in(event) for event in await running.stored()]
    assert [each.event for each in stored] == ["never_heard_of"] * 2 + ["sponsorship"] * 2 + ["workflow_run"]
    assert [each.run is None for each in stored] == [True] * 4 + [False]


async def test_what_is_refused_is_not_counted_as_received(
    reader: InMemoryMetricReader, running: Running, sender: Sender
) -> None:
    headers = sender.headers(b"{}", event="never_heard_of") | {"X-Hub-Signature-256": "sha256=" + "0" * 64}
    assert (await running.webhook(b"{}", headers)).status == 401
    assert counted(reader) == {}
