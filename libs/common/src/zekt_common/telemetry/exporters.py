"""Exporters as OpenTelemetry's own environment variables ask for them: OTLP over HTTP, console, or none."""

import os
from collections.abc import Callable, Mapping

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from zekt_common.errors import SettingsError
from zekt_common.telemetry.metrics import install_meter_provider
from zekt_common.telemetry.tracing import install_tracer_provider

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_CHOICES = ("otlp", "console", "none")
_FLUSH_MS = 2000
_SHUTDOWN_MS = 2000


def configure_telemetry(service: str, env: Mapping[str, str] = os.environ) -> Callable[[], None]:
    """Install the exporters that `env` asks for and return what flushes and stops them; it may block for seconds.

    Nothing is installed unless `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_EXPORTER` or `OTEL_METRICS_EXPORTER` is set.

    Raises:
        SettingsError: an exporter was asked for that is neither otlp, console nor none.
    """
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return _stop(None, None)
    resource = Resource.create({"service.name": env.get("OTEL_SERVICE_NAME", "").strip() or service})
    tracer_provider = _tracer_provider(_exporter(env, "OTEL_TRACES_EXPORTER", "TRACES"), resource)
    meter_provider = _meter_provider(_exporter(env, "OTEL_METRICS_EXPORTER", "METRICS"), resource)
    install_tracer_provider(tracer_provider)
    install_meter_provider(meter_provider)
    return _stop(tracer_provider, meter_provider)


def _exporter(env: Mapping[str, str], name: str, signal: str) -> str:
    asked = env.get(name, "").strip().lower()
    if asked and asked not in _CHOICES:
        raise SettingsError(f"{name} must be one of {', '.join(_CHOICES)}, not {asked!r}")
    has_endpoint = env.get(_ENDPOINT) or env.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return asked or ("otlp" if has_endpoint else "none")


def _tracer_provider(exporter: str, resource: Resource) -> TracerProvider | None:
    if exporter == "none":
        return None
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter() if exporter == "otlp" else ConsoleSpanExporter()))
    return provider


def _meter_provider(exporter: str, resource: Resource) -> MeterProvider | None:
    if exporter == "none":
        return None
    reader = PeriodicExportingMetricReader(OTLPMetricExporter() if exporter == "otlp" else ConsoleMetricExporter())
    return MeterProvider(metric_readers=[reader], resource=resource, shutdown_on_exit=False)


def _stop(tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None) -> Callable[[], None]:
    def stop() -> None:
        install_tracer_provider(None)
        install_meter_provider(None)
        if tracer_provider is not None:
            tracer_provider.force_flush(_FLUSH_MS)
            tracer_provider.shutdown()
        if meter_provider is not None:
            meter_provider.shutdown(timeout_millis=_SHUTDOWN_MS)

    return stop
