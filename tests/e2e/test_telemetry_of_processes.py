"""What the services' processes send to a collector: one trace across them, and series that no other process shares."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from tests.e2e.catalogs import PROVIDER, WORKFLOW, catalog
from tests.e2e.messages import ARRIVES_WITHIN_S
from tests.e2e.suite import running_suite
from tests.e2e.telemetry_collector import TelemetryCollector, collecting
from zekt_common.telemetry.metrics import INSTRUMENTS
from zekt_sandbox import GitHubSandbox

PROCESSES = {"zekt-ingress", "zekt-ingress-relay", "zekt-identity", "zekt-router", "zekt-dispatcher"}
RELAYING = {"zekt-ingress-relay", "zekt-identity", "zekt-router"}
LAG = "zekt.relay.lag"


@pytest.fixture
async def collected(sandbox: GitHubSandbox, tmp_path: Path) -> TelemetryCollector:
    """What four services have sent about one run by the time they have ended."""
    async with collecting() as collector:
        sent = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_METRIC_EXPORT_INTERVAL": "1000"}
        async with running_suite("four processes", tmp_path, sandbox, **sent) as suite:
            await suite.apply(catalog())
            await sandbox.run_workflow(PROVIDER, WORKFLOW)
            assert await sandbox.wait_for_dispatches(2, timeout_s=ARRIVES_WITHIN_S)
            await lags_reported(collector)
            assert await asyncio.to_thread(suite.stop) == [0, 0, 0, 0]
        return collector


@pytest.mark.slow
async def test_four_processes_report_as_one_story(collected: TelemetryCollector) -> None:
    traces = traces_by_service(collected)
    (webhook,) = traces["zekt-ingress"]["POST /webhooks/github"]
    assert webhook in traces["zekt-router"]["handle dev.zekt.ingress.run-completed"]
    assert traces["zekt-dispatcher"]["dispatch"] == {webhook}
    metrics = metrics_by_process(collected)
    assert {service for service, _ in metrics} == PROCESSES
    assert len({instance for _, instance in metrics}) == len(metrics) == len(PROCESSES)
    reported = {service: names for (service, _), names in metrics.items()}
    assert set().union(*reported.values()) <= {each.name for each in INSTRUMENTS}
    assert {"zekt.deliveries", "zekt.delivery.latency"} <= reported["zekt-dispatcher"]


async def lags_reported(collector: TelemetryCollector) -> None:
    """Wait until every relay has reported its lag, which ends with the relay."""
    async with asyncio.timeout(ARRIVES_WITHIN_S):
        while lagging(collector) != RELAYING:  # noqa: ASYNC110 - told by other processes
            await asyncio.sleep(0.1)


def lagging(collector: TelemetryCollector) -> set[str]:
    return {service for (service, _), names in metrics_by_process(collector).items() if LAG in names}


def traces_by_service(collector: TelemetryCollector) -> Mapping[str, Mapping[str, set[bytes]]]:
    """Return the ids of the traces that spans belong to, by the service and the span's name."""
    found: dict[str, dict[str, set[bytes]]] = defaultdict(lambda: defaultdict(set))
    for body in bodies(collector, "/v1/traces"):
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    found[named(resource.resource)["service.name"]][span.name].add(span.trace_id)
    return found


def metrics_by_process(collector: TelemetryCollector) -> Mapping[tuple[str, str], set[str]]:
    """Return the names of the metrics by service and process."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for body in bodies(collector, "/v1/metrics"):
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            attributes = named(resource.resource)
            names = {metric.name for scope in resource.scope_metrics for metric in scope.metrics}
            found[attributes["service.name"], attributes["service.instance.id"]] |= names
    return found


def bodies(collector: TelemetryCollector, wanted: str) -> Iterator[bytes]:
    return (body for path, body in collector.exports if path == wanted)


def named(resource: Resource) -> Mapping[str, str]:
    return {attribute.key: attribute.value.string_value for attribute in resource.attributes}
