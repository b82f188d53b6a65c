"""Operators' routes of a service: what it has stored, what it gave up on, how far behind it is, and a rewind."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web

from zekt_common.auth.requirements import Operator
from zekt_common.contracts.topology import SUBSCRIPTIONS
from zekt_common.envelope import decode
from zekt_common.errors import UnknownSubscription
from zekt_common.kit.checkpoints import PARTITION as CHECKPOINTS
from zekt_common.kit.consumer import Consumer
from zekt_common.kit.errors import Refusal, json_response
from zekt_common.kit.event_pages import EventFilter, EventReader
from zekt_common.kit.json_body import json_body
from zekt_common.kit.projector import Projector
from zekt_common.kit.relay import Relay
from zekt_common.kit.service import Handler, Route
from zekt_common.ports import Bus, EventStore, Views
from zekt_common.ports.bus import EVERYONE, DeadLetter

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
MAX_WAIT_S: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Operated:
    """The running parts of a service that its operators look at, each by a name for them to read."""

    store: EventStore
    bus: Bus
    views: Views
    relay: Relay | None = None
    consumers: Mapping[str, Consumer] = field(default_factory=dict)
    projectors: Mapping[str, Projector] = field(default_factory=dict)


class _RewindOrder(msgspec.Struct, forbid_unknown_fields=True):
    moment: Annotated[datetime, msgspec.Meta(tz=True)] = msgspec.field(name="from")
    to: str = EVERYONE


def operations_routes(service: str, operated: Callable[[], Operated]) -> list[Route]:
    """Return the operators' routes of `service` below `/api/operations/{service}`; `operated` is called per request."""
    operations = _Operations(service, operated)
    return [
        operations.route("GET", "events", operations.get_events),
        operations.route("GET", "stream", operations.get_stream),
        operations.route("GET", "dead-letters", operations.get_dead_letters),
        operations.route("GET", "status", operations.get_status),
        operations.route("POST", "relay/rewind", operations.rewind_relay),
    ]


class _Operations:
    def __init__(self, service: str, operated: Callable[[], Operated]) -> None:
        self._service = service
        self._operated = operated

    def route(self, method: str, name: str, handler: Handler) -> Route:
        path = f"/api/operations/{self._service}/{name}"
        return Route(method=method, path=path, handler=handler, requires=Operator(), max_body_bytes=4096)

    async def get_events(self, request: web.Request) -> web.Response:
        """A page of stored events in feed order; with `wait_s` it waits for the first one that fits."""
        reader = EventReader(self._operated().store)
        wanted = EventFilter(type=request.query.get("type", ""), stream=request.query.get("stream", ""))
        limit = _limit(request)
        cursor = request.query.get("cursor", "")
        deadline = time.monotonic() + _number(request, "wait_s", default=0.0, least=0.0, most=MAX_WAIT_S)
        page = await reader.read(wanted, cursor, limit)
        while not page.events and (left_s := deadline - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await reader.wait(page.cursor)
            page = await reader.read(wanted, page.cursor, limit)
        return json_response({"events": page.events, "cursor": page.cursor})

    async def get_stream(self, request: web.Request) -> web.Response:
        """One stream's events after version `after`, read by its `name` alone, however much else is stored."""
        after = int(_number(request, "after", default=0, least=0, most=2**53))
        events = await self._operated().store.read(request.query.get("name", ""), after=after)
        return json_response({"events": events})

    async def get_dead_letters(self, request: web.Request) -> web.Response:
        """Messages that this service gave up on, oldest first within each of its subscriptions."""
        bus, limit = self._operated().bus, _limit(request)
        letters = [
            letter
            for subscription in SUBSCRIPTIONS
            if subscription.name == self._service
            for letter in await bus.dead_letters(subscription.topic, subscription.name, limit=limit)
        ]
        return json_response({"dead_letters": [_shown(letter) for letter in letters]})

    async def get_status(self, _request: web.Request) -> web.Response:
        """How far behind each loop is, and every checkpoint."""
        operated = self._operated()
        relay = operated.relay
        shown: dict[str, Any] = {
            "service": self._service,
            "consumers": {name: await _consumer(consumer) for name, consumer in operated.consumers.items()},
            "projectors": {
                name: {"lag_s": await projector.lag(), "projected": projector.projected}
                for name, projector in operated.projectors.items()
            },
            "checkpoints": await _checkpoints(operated.views),
        }
        if relay is not None:
            refused = await relay.refused()
            shown["relay"] = {"lag_s": await relay.lag(), "published": relay.published, "refused": refused}
        return json_response(shown)

    async def rewind_relay(self, request: web.Request) -> web.Response:
        """Have the relay publish again what was stored since `from`, to everyone or to the subscription `to`."""
        relay = self._operated().relay
        if relay is None:
            raise Refusal(404, "no_relay", f"{self._service} publishes nothing.")
        expected = 'Send {"from": "<time with offset>"}, such as {"from": "2026-01-31T08:00:00Z"}.'
        order = json_body(await request.read(), _RewindOrder, expected=expected)
        try:
            await relay.rewind(order.moment, to=order.to)
        except UnknownSubscription as error:
            raise Refusal(400, "unknown_subscription", f"{error}.") from None
        return json_response({"status": "rewinding", "from": order.moment}, status=202)


async def _consumer(consumer: Consumer) -> dict[str, Any]:
    return {
        "backlog": await consumer.backlog(),
        "in_flight": consumer.in_flight,
        "age_s": consumer.age_s,
        "caught_up": consumer.caught_up.is_set(),
        "outcomes": dict(consumer.outcomes),
    }


async def _checkpoints(views: Views) -> dict[str, Any]:
    documents = await views.listing(CHECKPOINTS, limit=MAX_LIMIT)
    return {document.id: msgspec.json.decode(document.body) for document in documents}


def _shown(letter: DeadLetter) -> dict[str, Any]:
    """Return the dead letter without what it carries, which may be somebody's message."""
    shown: dict[str, Any] = {
        "topic": letter.topic,
        "subscription": letter.subscription,
        "sequence": letter.sequence,
        "message_id": letter.message_id,
        "attempt": letter.attempt,
        "reason": letter.reason,
        "at": letter.at,
    }
    with contextlib.suppress(msgspec.DecodeError):
        envelope = decode(letter.body)
        shown |= {"type": envelope.type, "stream": envelope.stream, "correlationid": envelope.correlationid}
    return shown


def _limit(request: web.Request) -> int:
    return int(_number(request, "limit", default=DEFAULT_LIMIT, least=1, most=MAX_LIMIT))


def _number(request: web.Request, name: str, *, default: float, least: float, most: float) -> float:
    try:
        value = float(request.query.get(name, default))
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise Refusal(400, "invalid_request", f"{name} is a number from {least:g} to {most:g}.")
    return value
