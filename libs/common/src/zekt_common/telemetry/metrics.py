"""Every metric that Zekt reports, by name. An instrument costs one comparison until a meter provider is installed.

| Metric | Kind | Unit | Attributes | Meaning |
|---|---|---|---|---|
| `http.server.request.duration` | histogram | s | method, route, status | requests answered, by either port |
| `zekt.events.appended` | counter | event | service, type | events committed to a store |
| `zekt.webhooks.received` | counter | webhook | event, outcome | verified webhooks: accepted or duplicate |
| `zekt.messages.received` | counter | message | outcome | workflows' messages: accepted, duplicate or refused |
| `zekt.relay.published` | counter | message | topic | messages published by relays |
| `zekt.relay.lag` | gauge | s | topic | age of the oldest event that a relay has not published yet |
| `zekt.consumer.messages` | counter | message | subscription, outcome | completed, retried, dead_lettered, lost |
| `zekt.consumer.duration` | histogram | s | subscription, type | a handler's time for one message |
| `zekt.consumer.backlog` | gauge | message | subscription | messages waiting, locked or scheduled |
| `zekt.dead_letters` | counter | message | subscription, type | messages given up |
| `zekt.routing.decisions` | counter | run | outcome | runs routed, or blocked by reason |
| `zekt.dispatches` | counter | attempt | outcome | attempts at GitHub: dispatched, retried, ambiguous, refused |
| `zekt.dispatch.duration` | histogram | s | outcome | time of one POST to GitHub |
| `zekt.tokens.looked_up` | counter | look-up | outcome | installation tokens: cached, fetched, refused, unavailable |
| `zekt.cosmos.request_charge` | histogram | RU | container, operation | price of each answer of Cosmos DB |
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

Attributes = Mapping[str, str | int | bool]


class Counter:
    """A sum that only grows."""

    def __init__(self, name: str, unit: str) -> None:
        self.name, self._unit = name, unit
        self._instrument: metrics.Counter | None = None

    def add(self, amount: int = 1, **attributes: str | int | bool) -> None:
        """Add to the sum for these attributes."""
        if self._instrument is not None:
            self._instrument.add(amount, attributes)

    def install(self, meter: Meter | None) -> None:
        """Report to this meter from now on; None reports nothing."""
        self._instrument = None if meter is None else meter.create_counter(self.name, unit=self._unit)


class Histogram:
    """A distribution of measured values."""

    def __init__(self, name: str, unit: str) -> None:
        self.name, self._unit = name, unit
        self._instrument: metrics.Histogram | None = None

    def record(self, value: float, **attributes: str | int | bool) -> None:
        """Add one value for these attributes."""
        if self._instrument is not None:
            self._instrument.record(value, attributes)

    def install(self, meter: Meter | None) -> None:
        """Report to this meter from now on; None reports nothing."""
        self._instrument = None if meter is None else meter.create_histogram(self.name, unit=self._unit)


class Gauge:
    """Values that are looked at when metrics are collected, from any number of watched sources."""

    def __init__(self, name: str, unit: str) -> None:
        self.name, self._unit = name, unit
        self._sources: dict[object, Callable[[], Iterable[tuple[float, Attributes]]]] = {}

    def watch(self, read: Callable[[], float | None], **attributes: str | int | bool) -> Callable[[], None]:
        """Report what `read` returns (None: nothing) until the returned function is called.

        `read` is called from the exporter's thread and must only look.
        """
        source = object()

        def values() -> Iterable[tuple[float, Attributes]]:
            value = read()
            return () if value is None else ((value, attributes),)

        self._sources[source] = values
        return lambda: self._sources.pop(source, None) and None

    def install(self, meter: Meter | None) -> None:
        """Report to this meter from now on; None reports nothing."""
        if meter is not None:
            meter.create_observable_gauge(self.name, callbacks=[self._observe], unit=self._unit)

    def _observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(value, dict(attributes))
            for values in list(self._sources.values())
            for value, attributes in values()
        ]


REQUEST_DURATION: Final = Histogram("http.server.request.duration", "s")
EVENTS_APPENDED: Final = Counter("zekt.events.appended", "{event}")
WEBHOOKS_RECEIVED: Final = Counter("zekt.webhooks.received", "{webhook}")
MESSAGES_RECEIVED: Final = Counter("zekt.messages.received", "{message}")
RELAY_PUBLISHED: Final = Counter("zekt.relay.published", "{message}")
RELAY_LAG: Final = Gauge("zekt.relay.lag", "s")
CONSUMER_MESSAGES: Final = Counter("zekt.consumer.messages", "{message}")
CONSUMER_DURATION: Final = Histogram("zekt.consumer.duration", "s")
CONSUMER_BACKLOG: Final = Gauge("zekt.consumer.backlog", "{message}")
DEAD_LETTERS: Final = Counter("zekt.dead_letters", "{message}")
ROUTING_DECISIONS: Final = Counter("zekt.routing.decisions", "{run}")
DISPATCHES: Final = Counter("zekt.dispatches", "{attempt}")
DISPATCH_DURATION: Final = Histogram("zekt.dispatch.duration", "s")
TOKENS_LOOKED_UP: Final = Counter("zekt.tokens.looked_up", "{lookup}")
COSMOS_REQUEST_CHARGE: Final = Histogram("zekt.cosmos.request_charge", "{RU}")

INSTRUMENTS: Final = (
    REQUEST_DURATION,
    EVENTS_APPENDED,
    WEBHOOKS_RECEIVED,
    MESSAGES_RECEIVED,
    RELAY_PUBLISHED,
    RELAY_LAG,
    CONSUMER_MESSAGES,
    CONSUMER_DURATION,
    CONSUMER_BACKLOG,
    DEAD_LETTERS,
    ROUTING_DECISIONS,
    DISPATCHES,
    DISPATCH_DURATION,
    TOKENS_LOOKED_UP,
    COSMOS_REQUEST_CHARGE,
)


def install_meter_provider(provider: MeterProvider | None) -> None:
    """Report every instrument to this provider from now on; None reports nothing."""
    meter = None if provider is None else provider.get_meter("zekt")
    for instrument in INSTRUMENTS:
        instrument.install(meter)
