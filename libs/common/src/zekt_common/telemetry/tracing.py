"""Traces as W3C trace contexts: ids are always passed on, spans are recorded only when somebody exports them."""

import random
import re
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Self

from opentelemetry import trace
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TracerProvider,
    set_span_in_context,
)

Attribute = str | int | float | bool

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z")
_MAX_LENGTH = 128
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16
_SAMPLED = "01"


class Span:
    """One unit of work, entered with `with`. Without an exporter it is only its ids, made when first asked for."""

    __slots__ = ("_before", "_flags", "_parent", "_recorded", "_span_id", "_trace_id")

    def __init__(self, parent: "str | Span | None", recorded: trace.Span | None = None) -> None:
        self._parent = parent
        self._recorded = recorded
        self._trace_id = ""
        self._span_id = ""
        self._flags = _SAMPLED
        self._before: Token[Span | None] | None = None

    @property
    def trace_id(self) -> str:
        """The trace's id, 32 hex digits."""
        if not self._trace_id:
            self._identify()
        return self._trace_id

    @property
    def traceparent(self) -> str:
        """The W3C value that makes the next span a child of this one; events store it."""
        return f"00-{self.trace_id}-{self._span_id}-{self._flags}"

    def set(self, **attributes: Attribute) -> None:
        """Add attributes to the recorded span."""
        if self._recorded is not None:
            self._recorded.set_attributes(attributes)

    def failed(self, reason: str) -> None:
        """Mark the recorded span as failed; the first reason stays."""
        if self._recorded is not None:
            self._recorded.set_status(Status(StatusCode.ERROR, reason))

    def __enter__(self) -> Self:
        self._before = _current.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        if self._before is not None:
            _current.reset(self._before)
            self._before = None
        if self._recorded is not None:
            if kind is not None:
                self.failed(kind.__name__)
            self._recorded.end()

    def _identify(self) -> None:
        if self._recorded is not None:
            context = self._recorded.get_span_context()
            self._flags = f"{context.trace_flags:02x}"
            self._trace_id, self._span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
            return
        self._span_id = f"{random.getrandbits(64) or 1:016x}"
        parent = self._parent.traceparent if isinstance(self._parent, Span) else self._parent
        if parent is not None and is_traceparent(parent):
            self._trace_id, self._flags = parent[3:35], parent[53:55]
        else:
            self._trace_id = f"{random.getrandbits(128) or 1:032x}"


_current: ContextVar[Span | None] = ContextVar("zekt_span", default=None)


class _Installed:
    """The process's tracer, absent until an exporter is configured."""

    tracer: Tracer | None = None


def install_tracer_provider(provider: TracerProvider | None) -> None:
    """Record spans with this provider from now on; None records nothing."""
    _Installed.tracer = None if provider is None else provider.get_tracer("zekt")


def current_span() -> Span | None:
    """Return the innermost span around the running code."""
    return _current.get()


def span(
    name: str, traceparent: str | None = None, *, kind: SpanKind = SpanKind.INTERNAL, **attributes: Attribute
) -> Span:
    """Return a span for a `with` block: a child of `traceparent`, else of the span around it, else a root.

    A malformed `traceparent` begins a new trace.
    """
    parent: str | Span | None = traceparent or _current.get()
    tracer = _Installed.tracer
    if tracer is None:
        return Span(parent)
    context = set_span_in_context(NonRecordingSpan(_context_of(parent)))
    return Span(parent, tracer.start_span(name, context=context, kind=kind, attributes=attributes))


def is_traceparent(value: str) -> bool:
    """Return whether this is a W3C traceparent that may be continued."""
    match = _TRACEPARENT.match(value) if len(value) <= _MAX_LENGTH else None
    if match is None:
        return False
    version, trace_id, span_id, _, rest = match.groups()
    return version != "ff" and trace_id != _NO_TRACE and span_id != _NO_SPAN and (version != "00" or rest is None)


def _context_of(parent: str | Span | None) -> SpanContext:
    value = parent.traceparent if isinstance(parent, Span) else parent
    if value is None or not is_traceparent(value):
        return trace.INVALID_SPAN_CONTEXT
    return SpanContext(
        trace_id=int(value[3:35], 16),
        span_id=int(value[36:52], 16),
        is_remote=not isinstance(parent, Span),
        trace_flags=TraceFlags(int(value[53:55], 16)),
    )
