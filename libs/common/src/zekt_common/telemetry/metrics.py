"""Every metric that Zekt reports; docs/telemetry.md says what each one means."""

from typing import Final

from opentelemetry.metrics import MeterProvider

from zekt_common.telemetry.instruments import Counter, Gauge, Histogram, Instrument

ROUTE: Final = "http.route"
METHOD: Final = "http.request.method"
STATUS: Final = "http.response.status_code"

_ANSWERS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WAITS_S: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
_CHARGES_RU: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)

REQUEST_DURATION: Final = Histogram("http.server.request.duration", "s", METHOD, ROUTE, STATUS, buckets=_ANSWERS_S)
EVENTS_APPENDED: Final = Counter("zekt.events.appended", "{event}", "type")
WEBHOOKS_RECEIVED: Final = Counter("zekt.webhooks.received", "{webhook}", "event", "outcome")
MESSAGES_RECEIVED: Final = Counter("zekt.messages.received", "{message}", "outcome")
RELAY_PUBLISHED: Final = Counter("zekt.relay.published", "{message}", "topic")
RELAY_REFUSED: Final = Counter("zekt.relay.refused", "{message}", "topic")
RELAY_LAG: Final = Gauge("zekt.relay.lag", "s", "topic")
CONSUMER_MESSAGES: Final = Counter("zekt.consumer.messages", "{message}", "topic", "subscription", "outcome")
CONSUMER_DURATION: Final = Histogram("zekt.consumer.duration", "s", "topic", "subscription", "type", buckets=_ANSWERS_S)
CONSUMER_BACKLOG: Final = Gauge("zekt.consumer.backlog", "{message}", "topic", "subscription")
DEAD_LETTERS: Final = Counter("zekt.dead_letters", "{message}", "topic", "subscription")
ROUTING_DECISIONS: Final = Counter("zekt.routing.decisions", "{run}", "outcome")
CORRELATION_WAIT: Final = Histogram("zekt.correlation.wait", "s", "kind", buckets=_WAITS_S)
DELIVERIES: Final = Counter("zekt.deliveries", "{delivery}", "outcome", "reason")
DELIVERY_LATENCY: Final = Histogram("zekt.delivery.latency", "s", buckets=_WAITS_S)
DISPATCHES: Final = Counter("zekt.dispatches", "{attempt}", "outcome")
DISPATCH_DURATION: Final = Histogram("zekt.dispatch.duration", "s", "outcome", buckets=_ANSWERS_S)
GITHUB_REMAINING: Final = Gauge("zekt.github.rate_limit.remaining", "{request}", "installation")
GITHUB_PAUSED: Final = Gauge("zekt.github.rate_limit.paused", "{installation}")
TOKENS_LOOKED_UP: Final = Counter("zekt.tokens.looked_up", "{lookup}", "outcome")
COSMOS_REQUEST_CHARGE: Final = Histogram(
    "zekt.cosmos.request_charge", "{RU}", "container", "operation", buckets=_CHARGES_RU
)
COSMOS_LATE_COMMITS: Final = Counter("zekt.cosmos.late_commits", "{event}", "container")

INSTRUMENTS: Final[tuple[Instrument, ...]] = (
    REQUEST_DURATION,
    EVENTS_APPENDED,
    WEBHOOKS_RECEIVED,
    MESSAGES_RECEIVED,
    RELAY_PUBLISHED,
    RELAY_REFUSED,
    RELAY_LAG,
    CONSUMER_MESSAGES,
    CONSUMER_DURATION,
    CONSUMER_BACKLOG,
    DEAD_LETTERS,
    ROUTING_DECISIONS,
    CORRELATION_WAIT,
    DELIVERIES,
    DELIVERY_LATENCY,
    DISPATCHES,
    DISPATCH_DURATION,
    GITHUB_REMAINING,
    GITHUB_PAUSED,
    TOKENS_LOOKED_UP,
    COSMOS_REQUEST_CHARGE,
    COSMOS_LATE_COMMITS,
)


def install_meter_provider(provider: MeterProvider | None) -> None:
    """Report every instrument to this provider from now on; None reports nothing."""
    meter = None if provider is None else provider.get_meter("zekt")
    for instrument in INSTRUMENTS:
        instrument.install(meter)
