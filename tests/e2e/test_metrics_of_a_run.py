"""The numbers that one run leaves behind, from webhook to dispatch, with the attributes that the table names."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tests.e2e.catalogs import PROVIDER, WORKFLOW
from tests.e2e.in_this_process import operating, outcomes
from tests.e2e.messages import ARRIVES_WITHIN_S
from zekt_common.kit.host import Hosted
from zekt_common.telemetry.metrics import INSTRUMENTS, install_meter_provider
from zekt_sandbox import GitHubSandbox

OF_AZURE = {"zekt.cosmos.request_charge", "zekt.cosmos.late_commits"}
NOT_OF_A_RUN = {"zekt.messages.received", "zekt.relay.refused"} | OF_AZURE
"""A run with a message, a message that is too large, and Azure would be needed for these."""
Points = dict[str, list[Any]]


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    install_meter_provider(provider)
    yield reader
    install_meter_provider(None)
    provider.shutdown()


async def test_a_run_leaves_its_numbers_behind(
    reader: InMemoryMetricReader, hosted: Hosted, sandbox: GitHubSandbox, tmp_path: Path
) -> None:
    async with operating(hosted, tmp_path / "data") as http:
        await sandbox.run_workflow(PROVIDER, WORKFLOW)
        assert await sandbox.wait_for_dispatches(2, timeout_s=ARRIVES_WITHIN_S)
        await outcomes(http, f"{hosted.url}/api/operations/dispatcher/events", 2)
        points = collected(reader)
    assert set(points) == {each.name for each in INSTRUMENTS} - NOT_OF_A_RUN
    for each in INSTRUMENTS:
        for point in points.get(each.name, ()):
            assert set(point.attributes or {}) == set(each.attributes), each.name
    assert counted(points, "zekt.webhooks.received", event="workflow_run", outcome="accepted") >= 1
    assert counted(points, "zekt.deliveries", outcome="dispatched", reason="none") == 2
    assert counted(points, "zekt.dispatches", outcome="dispatched") == 2
    assert counted(points, "zekt.routing.decisions", outcome="routed") == 1
    assert counted(points, "zekt.delivery.latency") == 2
    assert counted(points, "zekt.dead_letters", topic="router", subscription="dispatcher") == 0
    assert counted(points, "zekt.correlation.wait", kind="event") == 1
    webhook: dict[str, str | int] = {
        "http.request.method": "POST",
        "http.route": "/webhooks/github",
        "http.response.status_code": 202,
    }
    assert counted(points, "http.server.request.duration", **webhook) >= 1


def collected(reader: InMemoryMetricReader) -> Points:
    """Return what is reported by name."""
    batch = reader.get_metrics_data()
    assert batch is not None
    metrics = [metric for scope in batch.resource_metrics[0].scope_metrics for metric in scope.metrics]
    return {metric.name: list(metric.data.data_points) for metric in metrics if metric.data.data_points}


def counted(points: Points, name: str, **attributes: str | int) -> int:
    """Return the sum, or for a histogram the count, under these attributes."""
    (point,) = (each for each in points[name] if _same(each.attributes, attributes))
    return int(point.count if hasattr(point, "count") else point.value)


def _same(found: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    return dict(found or {}) == dict(wanted)
