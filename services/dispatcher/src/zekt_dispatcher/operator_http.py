"""Operators' routes: deliveries, where they stand, and replays."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from aiohttp import web

from zekt_common.auth.requirements import Operator
from zekt_common.clock import utc_now
from zekt_common.envelope import Event, check_stream
from zekt_common.errors import InvalidStream
from zekt_common.kit.errors import Refusal, json_response
from zekt_common.kit.service import Route
from zekt_common.ports import EventStore, Views
from zekt_dispatcher.delivery import stream_of
from zekt_dispatcher.delivery_commands import Replay
from zekt_dispatcher.delivery_events import SCHEMAS
from zekt_dispatcher.delivery_report import DeliverySummary, describe, summarise
from zekt_dispatcher.delivery_state import Status
from zekt_dispatcher.handlers import Handlers
from zekt_dispatcher.ledger import Ledger
from zekt_dispatcher.views import DELIVERIES, ListedDelivery, by_status

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 1000
_YIELD_EVERY: Final = 20
_STATUSES: Final = tuple(status.value for status in Status if status is not Status.ABSENT)


class OperatorDesk(msgspec.Struct, frozen=True, kw_only=True):
    """What the routes work with; `nudge` has the timers looked at now."""

    store: EventStore
    views: Views
    ledger: Ledger
    handlers: Handlers
    nudge: Callable[[], None]


class OperatorRoutes:
    """The routes; `desk` is asked for on each request, since it exists only while the service runs."""

    def __init__(self, desk: Callable[[], OperatorDesk]) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """Return all of them."""
        operator = Operator()
        return [
            Route(method="GET", path="/api/deliveries", handler=self.get_deliveries, requires=operator),
            Route(method="GET", path="/api/deliveries/{delivery_id}", handler=self.get_delivery, requires=operator),
            Route(method="POST", path="/api/replay/{delivery_id}", handler=self.post_replay, requires=operator),
        ]

    async def get_deliveries(self, request: web.Request) -> web.Response:
        """A page of deliveries, newest request first; `cursor` continues it as `after`."""
        limit, status = _limit(request), _status(request)
        partition = by_status(status) if status else DELIVERIES
        page = await self._desk().views.listing(
            partition, after=request.query.get("after", ""), limit=limit, descending=True
        )
        listed = [msgspec.json.decode(document.body, type=ListedDelivery).delivery_id for document in page]
        found = [summary for summary in await self._summaries(listed) if status in (None, summary.status)]
        cursor = page[-1].id if len(page) == limit else None
        return json_response({"deliveries": found, "cursor": cursor})

    async def get_delivery(self, request: web.Request) -> web.Response:
        """One delivery with its attempts."""
        history = await self._history(request.match_info["delivery_id"])
        if not history:
            raise _unknown()
        return json_response(describe(history))

    async def post_replay(self, request: web.Request) -> web.Response:
        """Have a delivery that has ended made once more, from the stored request."""
        desk, delivery_id = self._desk(), request.match_info["delivery_id"]
        entry = await desk.ledger.load(_stream(delivery_id))
        order = entry.state.order
        if order is None:
            raise _unknown()
        entry = await desk.ledger.execute(entry, Replay(at=utc_now()))
        if not entry.appended:
            raise Refusal(409, "delivery_under_way", "The delivery has not ended yet. Replay it once it has.")
        replay = entry.state.replays[-1]
        await desk.handlers.take_replay(order, replay, cause=f"{entry.stream}@{entry.version}")
        desk.nudge()
        return json_response({"deliveryId": replay, "replayOf": delivery_id, "isReplay": True}, status=202)

    async def _summaries(self, delivery_ids: Sequence[str]) -> list[DeliverySummary]:
        summaries = []
        for number, delivery_id in enumerate(delivery_ids, start=1):
            if number % _YIELD_EVERY == 0:
                await asyncio.sleep(0)  # a long page must not hold up dispatches
            history = await self._history(delivery_id)
            if history:
                summaries.append(summarise(history))
        return summaries

    async def _history(self, delivery_id: str) -> list[Event]:
        return [SCHEMAS.decode(event) for event in await self._desk().store.read(_stream(delivery_id))]


def _stream(delivery_id: str) -> str:
    try:
        return check_stream(stream_of(delivery_id))
    except InvalidStream:
        raise _unknown() from None


def _unknown() -> Refusal:
    return Refusal(404, "delivery_not_found", "There is no such delivery. `zekt deliveries` lists them.")


def _limit(request: web.Request) -> int:
    value = request.query.get("limit", str(DEFAULT_LIMIT))
    if not (value.isascii() and value.isdigit() and 1 <= int(value[:20]) <= MAX_LIMIT):
        raise Refusal(400, "invalid_limit", f"limit must be a whole number from 1 to {MAX_LIMIT}.")
    return int(value[:20])


def _status(request: web.Request) -> str | None:
    value = request.query.get("status") or None
    if value is not None and value not in _STATUSES:
        raise Refusal(400, "invalid_status", f"status must be one of {', '.join(_STATUSES)}.")
    return value
