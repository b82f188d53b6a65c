"""OpenTelemetry's SDK providers. Importing them takes half a second, so `exporters` does it only when asked."""

import uuid
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from zekt_common.telemetry.metrics import install_meter_provider
from zekt_common.telemetry.tracing import install_tracer_provider

_FLUSH_MS = 2000
_SHUTDOWN_MS = 2000


class Providers:
    """The process's providers, each absent where its exporter is `none`."""

    def __init__(self, service: str, *, traces: str, metrics: str) -> None:
        resource = _resource(service)
        self._tracers = None if traces == "none" else _tracer_provider(traces, resource)
        self._meters = None if metrics == "none" else _meter_provider(metrics, resource)
        install_tracer_provider(self._tracers)
        install_meter_provider(self._meters)

    def stop(self) -> None:
        """Send what is left and stop; this may block for seconds."""
        install_tracer_provider(None)
        if self._tracers is not None:
            self._tracers.force_flush(_FLUSH_MS)
            self._tracers.shutdown()
        if self._meters is not None:
            self._meters.shutdown(timeout_millis=_SHUTDOWN_MS)
        install_meter_provider(None)  # last, since the counters are read once more


def _resource(service: str) -> Resource:
    """Return what this process is called: an id of its own, without which two replicas' series would be one."""
    own = Resource({"service.instance.id": str(uuid.uuid4()), "service.version": version("zekt-common")})
    return own.merge(Resource.create({"service.name": service}))  # the environment knows better


def _tracer_provider(exporter: str, resource: Resource) -> TracerProvider:
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter() if exporter == "otlp" else ConsoleSpanExporter()))
    return provider


def _meter_provider(exporter: str, resource: Resource) -> MeterProvider:
    reader = PeriodicExportingMetricReader(OTLPMetricExporter() if exporter == "otlp" else ConsoleMetricExporter())
    return MeterProvider(metric_readers=[reader], resource=resource, shutdown_on_exit=False)
