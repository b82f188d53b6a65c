"""A stand-in for an OpenTelemetry collector: it keeps what it is sent, as it was sent."""

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class TelemetryCollector:
    """Where it listens, and the exported messages by path."""

    url: str = ""
    exports: list[tuple[str, bytes]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """Keep one export."""
        body = await request.read()
        self.exports.append((request.path, gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body))
        return web.Response(content_type="application/x-protobuf")

    def spans(self) -> set[str]:
        """Return the names of all spans."""
        requests = [ExportTraceServiceRequest.FromString(body) for path, body in self.exports if path == "/v1/traces"]
        resources = [spans for request in requests for spans in request.resource_spans]
        return {span.name for resource in resources for scope in resource.scope_spans for span in scope.spans}


@asynccontextmanager
async def collecting() -> AsyncIterator[TelemetryCollector]:
    """Listen until the block ends."""
    collector = TelemetryCollector()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/{signal}", collector.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield collector
    finally:
        await runner.cleanup()
