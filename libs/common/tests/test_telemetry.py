import asyncio
import json
import logging
import time
import timeit
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Gauge as SdkGauge
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, Metric, Sum
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from zekt_common.errors import SettingsError
from zekt_common.telemetry.exporters import configure_telemetry
from zekt_common.telemetry.logging import configure_logging
from zekt_common.telemetry.metrics import (
    GITHUB_REMAINING,
    METHOD,
    RELAY_LAG,
    REQUEST_DURATION,
    ROUTE,
    STATUS,
    WEBHOOKS_RECEIVED,
    install_meter_provider,
)
from zekt_common.telemetry.tracing import current_span, install_tracer_provider, is_traceparent, span

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
MEASURED: dict[str, str | int] = {METHOD: "POST", ROUTE: "/x", STATUS: 202}


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    install_tracer_provider(provider)
    yield exporter
    install_tracer_provider(None)
    provider.shutdown()


@pytest.fixture
def metrics() -> Iterator[InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    install_meter_provider(provider)
    yield reader
    install_meter_provider(None)
    provider.shutdown()


def test_without_an_exporter_ids_are_still_passed_on() -> None:
    with span("outer", PARENT) as outer:
        assert current_span() is outer
        assert outer.trace_id == TRACE_ID
        with span("inner") as inner:
            assert inner.trace_id == TRACE_ID
            assert inner.traceparent != outer.traceparent
        assert outer.traceparent == outer.traceparent
        assert is_traceparent(outer.traceparent)
    assert current_span() is None


def test_an_unsampled_trace_stays_unsampled() -> None:
    with span("outer", PARENT[:-2] + "00") as outer, span("inner") as inner:
        assert outer.traceparent.endswith("-00")
        assert inner.traceparent.endswith("-00")


@pytest.mark.parametrize(
    "garbage",
    [
        "garbage",
        PARENT.upper(),
        PARENT[:-1],
        "ff" + PARENT[2:],
        "00-" + "0" * 32 + PARENT[35:],
        PARENT[:36] + "0" * 16 + "-01",
        PARENT + "-more",
        PARENT + "\n",
        "01" + PARENT[2:] + "-" + "x" * 200,
        "tökén",
    ],
)
def test_a_malformed_traceparent_begins_a_new_trace(garbage: str) -> None:
    with span("outer", garbage) as outer:
        assert is_traceparent(outer.traceparent)
        assert outer.trace_id != TRACE_ID


def test_a_later_version_of_the_header_is_continued() -> None:
    with span("outer", "01" + PARENT[2:] + "-more") as outer:
        assert outer.trace_id == TRACE_ID


def test_recorded_spans_form_one_trace(spans: InMemorySpanExporter) -> None:
    with span("outer", PARENT, delivery="d1") as outer, span("inner"):
        stored = outer.traceparent
    with pytest.raises(ValueError, match="odd"), span("later", stored):
        raise ValueError("odd")
    inner, first, later = spans.get_finished_spans()
    assert {one.context.trace_id for one in (inner, first, later) if one.context} == {int(TRACE_ID, 16)}
    assert first.parent is not None
    assert first.context is not None
    assert later.parent is not None
    assert first.parent.span_id == int("b7ad6b7169203331", 16)
    assert later.parent.span_id == first.context.span_id
    assert dict(first.attributes or {}) == {"delivery": "d1"}
    assert later.status.description == "ValueError"


def cpu_s(work: Callable[[], None]) -> float:
    """Return what one call takes of this thread's own time, whatever else the machine does meanwhile."""
    return min(timeit.repeat(work, timer=time.thread_time, number=2000, repeat=5)) / 2000


def test_a_span_costs_next_to_nothing_without_an_exporter() -> None:
    def unrecorded() -> None:
        with span("deliver", None, delivery="d1", attempt=1):
            REQUEST_DURATION.record(0.1, **MEASURED)

    assert cpu_s(unrecorded) < 20e-6


def test_instruments_report_once_a_provider_is_there(metrics: InMemoryMetricReader) -> None:
    WEBHOOKS_RECEIVED.add(event="workflow_run", outcome="accepted")
    unwatch = RELAY_LAG.watch(lambda: 1.5, topic="ingress")
    found = {metric.name: metric for metric in collected(metrics)}
    assert set(found) == {"zekt.webhooks.received", "zekt.relay.lag"}
    unwatch()
    assert {metric.name for metric in collected(metrics)} == {"zekt.webhooks.received"}


def test_a_counter_adds_up_for_each_set_of_attributes(metrics: InMemoryMetricReader) -> None:
    for outcome in ("accepted", "duplicate", "accepted"):
        WEBHOOKS_RECEIVED.add(event="ping", outcome=outcome)
    WEBHOOKS_RECEIVED.add(3, event="push", outcome="accepted")
    (metric,) = collected(metrics)
    assert isinstance(metric.data, Sum)
    assert metric.data.is_monotonic
    found = {tuple((point.attributes or {}).values()): point.value for point in metric.data.data_points}
    assert found == {("ping", "accepted"): 2, ("ping", "duplicate"): 1, ("push", "accepted"): 3}


def test_a_counter_refuses_attributes_that_it_was_not_made_with(metrics: InMemoryMetricReader) -> None:
    with pytest.raises(KeyError, match="outcome"):
        WEBHOOKS_RECEIVED.add(event="ping")
    assert collected(metrics) == []


def test_short_requests_are_told_apart(metrics: InMemoryMetricReader) -> None:
    for seconds in (0.002, 0.02, 0.2):
        REQUEST_DURATION.record(seconds, **MEASURED)
    (metric,) = collected(metrics)
    (point,) = metric.data.data_points
    assert isinstance(point, HistogramDataPoint)
    assert [bound for bound, count in zip(point.explicit_bounds, point.bucket_counts, strict=False) if count] == [
        0.005,
        0.025,
        0.25,
    ]


def test_a_gauge_reports_every_reading_with_its_attributes(metrics: InMemoryMetricReader) -> None:
    unwatch = GITHUB_REMAINING.watch_each(lambda: [(7, {"installation": "1"}), (9, {"installation": "2"})])
    (metric,) = collected(metrics)
    unwatch()
    assert isinstance(metric.data, SdkGauge)
    assert {(point.attributes or {})["installation"]: point.value for point in metric.data.data_points} == {
        "1": 7,
        "2": 9,
    }


def test_a_request_costs_little_while_metrics_are_collected(metrics: InMemoryMetricReader) -> None:
    def counted() -> None:
        WEBHOOKS_RECEIVED.add(event="workflow_run", outcome="accepted")

    assert cpu_s(counted) < 20e-6  # two microseconds
    assert collected(metrics)


def collected(reader: InMemoryMetricReader) -> list[Metric]:
    batch = reader.get_metrics_data()
    if batch is None:
        return []
    return [
        metric
        for resource in batch.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.data.data_points
    ]


async def test_spans_go_to_the_endpoint_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[tuple[str, bytes]] = []

    async def collect(request: web.Request) -> web.Response:
        received.append((request.path, await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/{kind:.*}", collect)
    async with TestServer(app, host="127.0.0.1") as server:
        endpoint = str(server.make_url("")).rstrip("/")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        stop = configure_telemetry("zekt-trial", {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
        with span("exported", PARENT):
            WEBHOOKS_RECEIVED.add(event="ping", outcome="accepted")
        await asyncio.to_thread(stop)
    paths = {path for path, _ in received}
    assert paths == {"/v1/traces", "/v1/metrics"}
    assert any(b"exported" in body and b"zekt-trial" in body for _, body in received)


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
    ],
)
def test_nothing_is_exported_unless_asked_for(env: dict[str, str]) -> None:
    stop = configure_telemetry("zekt-trial", env)
    with span("unrecorded", PARENT) as unrecorded:
        assert unrecorded.trace_id == TRACE_ID
    stop()


def test_an_unknown_exporter_is_refused() -> None:
    with pytest.raises(SettingsError, match="OTEL_METRICS_EXPORTER must be one of otlp, console, none"):
        configure_telemetry("zekt-trial", {"OTEL_METRICS_EXPORTER": "prometheus"})


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield lambda: capsys.readouterr().err
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_json_logs_carry_service_and_trace_and_hide_secrets(stderr: Callable[[], str]) -> None:
    configure_logging("json", "ingress")
    with span("receive", PARENT):
        structlog.get_logger().info("webhook_received", delivery_id="d1", token="ghs_secret")
    logging.getLogger("some.library").warning("odd %s", "thing")
    ours, theirs = (json.loads(entry) for entry in stderr().splitlines())
    assert ours["event"] == "webhook_received"
    assert (ours["service"], ours["trace_id"], ours["delivery_id"]) == ("ingress", TRACE_ID, "d1")
    assert ours["token"] == "[hidden]"
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("odd thing", "some.library", "warning")


@pytest.mark.parametrize("kind", ["console", "json"])
def test_a_logged_exception_is_told_by_its_type_and_place_and_quotes_nothing(
    stderr: Callable[[], str], kind: str
) -> None:
    configure_logging("json" if kind == "json" else "console", "ingress")
    secret = "ghs_" + "s" * 36
    try:
        int(secret)
    except ValueError:
        structlog.get_logger().exception("request_failed")
        logging.getLogger("some.library").exception("it broke\nwith %s", secret)
    ours, theirs = stderr().splitlines()
    for logged, event in ((ours, "request_failed"), (theirs, "it broke")):
        assert event in logged
        assert "ValueError" in logged
        assert "test_telemetry.py" in logged
        assert secret not in logged


def test_console_logs_are_lines_for_people(stderr: Callable[[], str], tmp_path: Path) -> None:
    configure_logging("console", "ingress")
    structlog.get_logger().info("host_ready", data_dir=str(tmp_path))
    logged = stderr()
    assert "host_ready" in logged
    assert "service=ingress" in logged
