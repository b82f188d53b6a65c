"""Logs on stderr: static past-tense event names with ids, as text for people or JSON for machines."""

import logging
import sys
from collections.abc import Sequence

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from zekt_common.kit.settings import LogFormat
from zekt_common.kit.supervision import describe
from zekt_common.telemetry.tracing import current_span

SECRET_FIELDS = frozenset(
    {"token", "authorization", "secret", "password", "private_key", "payload", "body", "signature", "jwt"}
)


def configure_logging(format: LogFormat, service: str) -> None:  # noqa: A002 - the setting's own name
    """Send this process's logs, and those of the libraries in it, to stderr."""
    shared: Sequence[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _context(service),
        hide_secrets,
        describe_exceptions,
    ]
    render = _renderer(format)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, first_line],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Blank out fields named like a secret, should one ever be logged by mistake."""
    for name in event:
        if name in SECRET_FIELDS:
            event[name] = "[hidden]"
    return event


def describe_exceptions(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Say of an exception its type and place: its message and its traceback may quote a token or a payload."""
    raised = event.pop("exc_info", None)
    if isinstance(raised, tuple):
        raised = raised[1]
    error = raised if isinstance(raised, BaseException) else sys.exc_info()[1] if raised else None
    return event if error is None else {**event, **describe(error)}


def first_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep the first line of a library's message: what follows shows objects, and those may show anything."""
    event["event"] = str(event["event"]).partition("\n")[0]
    return event


def _context(service: str) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        span = current_span()
        if span is not None:
            event.setdefault("trace_id", span.trace_id)
        return event

    return add


def _renderer(format: LogFormat) -> Processor:  # noqa: A002 - the setting's own name
    if format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
