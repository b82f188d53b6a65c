"""Exporters as OpenTelemetry's own environment variables ask for them: OTLP over HTTP, console, or none."""

import os
from collections.abc import Callable, Mapping

from zekt_common.errors import SettingsError

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_CHOICES = ("otlp", "console", "none")


def configure_telemetry(service: str, env: Mapping[str, str] = os.environ) -> Callable[[], None]:
    """Install the exporters that `env` asks for and return what flushes and stops them; that may block for seconds.

    Nothing is installed unless `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_EXPORTER` or `OTEL_METRICS_EXPORTER` is set.
    Endpoints, headers and intervals are read by OpenTelemetry itself, from this process's environment.

    Raises:
        SettingsError: an exporter was asked for that is neither otlp, console nor none.
    """
    traces, metrics = _exporter(env, "TRACES"), _exporter(env, "METRICS")
    disabled = env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if disabled or traces == metrics == "none":
        return lambda: None
    from zekt_common.telemetry.providers import Providers  # noqa: PLC0415 - half a second that few starts need

    return Providers(env.get("OTEL_SERVICE_NAME", "").strip() or service, traces=traces, metrics=metrics).stop


def _exporter(env: Mapping[str, str], signal: str) -> str:
    asked = env.get(f"OTEL_{signal}_EXPORTER", "").strip().lower()
    if asked and asked not in _CHOICES:
        raise SettingsError(f"OTEL_{signal}_EXPORTER must be one of {', '.join(_CHOICES)}, not {asked!r}")
    has_endpoint = env.get(_ENDPOINT) or env.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return asked or ("otlp" if has_endpoint else "none")
