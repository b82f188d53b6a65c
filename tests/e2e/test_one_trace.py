"""One trace follows a run from webhook to dispatch, and the stored events tell it without a tracing backend."""

from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.e2e.catalogs import PROVIDER, WORKFLOW
from tests.e2e.in_this_process import operating, outcomes
from tests.e2e.messages import ARRIVES_WITHIN_S
from zekt_common.auth.requirements import Public, Requirement
from zekt_common.kit.host import Hosted
from zekt_common.kit.service import Service
from zekt_common.kit.settings import HostSettings
from zekt_common.telemetry.tracing import install_tracer_provider
from zekt_sandbox import GitHubSandbox


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    install_tracer_provider(provider)
    yield exporter
    install_tracer_provider(None)


async def test_one_trace_leads_from_the_webhook_to_each_dispatch(
    hosted: Hosted, sandbox: GitHubSandbox, exporter: InMemorySpanExporter, tmp_path: Path
) -> None:
    async with operating(hosted, tmp_path / "data") as http:
        exporter.clear()
        await sandbox.run_workflow(PROVIDER, WORKFLOW)
        assert await sandbox.wait_for_dispatches(2, timeout_s=ARRIVES_WITHIN_S)
        events = await outcomes(http, f"{hosted.url}/api/operations/dispatcher/events", 2)
    spans = exporter.get_finished_spans()
    [webhook] = [span for span in spans if span.name == "POST /webhooks/github"]
    dispatches = [span for span in spans if span.name == "dispatch"]
    assert len(dispatches) == 2
    assert {trace_id(span) for span in dispatches} == {trace_id(webhook)}
    assert all(descends(dispatch, webhook, spans) for dispatch in dispatches)
    assert {event["traceparent"].split("-")[1] for event in events} == {trace_id(webhook)}


def trace_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def descends(span: ReadableSpan, ancestor: ReadableSpan, spans: tuple[ReadableSpan, ...]) -> bool:
    """Follow the parents; links between services are the traceparents of events and messages."""
    by_id = {one.context.span_id: one for one in spans if one.context}
    current: ReadableSpan | None = span
    while current is not None and current is not ancestor:
        current = by_id.get(current.parent.span_id) if current.parent else None
    return current is ancestor


def test_every_route_names_what_it_requires_and_is_served_once(services: tuple[list[Service], HostSettings]) -> None:
    routes = [route for service in services[0] for route in service.routes]
    places = [(route.method, route.path) for route in routes]
    assert len(places) == len(set(places))
    assert all(isinstance(route.requires, Requirement) for route in routes)
    public = [route.path for route in routes if isinstance(route.requires, Public)]
    assert public == ["/internal/keys"], "nothing but public keys, and the probes that the host adds, is open to anyone"


async def test_no_door_opens_without_its_proof(hosted: Hosted, services: tuple[list[Service], HostSettings]) -> None:
    async with aiohttp.ClientSession() as http:
        for service in services[0]:
            for route in service.routes:
                if isinstance(route.requires, Public):
                    continue
                base = hosted.internal_url if route.internal else hosted.url
                path = route.path.replace("{", "").replace("}", "")
                headers = {"Content-Type": "application/json", "Authorization": "Bearer forged"}
                async with http.request(route.method, base + path, data=b"{}", headers=headers) as answer:
                    assert answer.status in (400, 401, 403, 404), f"{route.method} {route.path}: {answer.status}"
                    assert "error" in await answer.json()
