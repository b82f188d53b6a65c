"""What sets deliveries in motion: the router's requests, the timers, and replays that were asked for."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import msgspec

from zekt_common.clock import Clock, utc_now
from zekt_common.contracts import router
from zekt_common.envelope import Envelope
from zekt_common.kit.consumer import Complete, Settlement
from zekt_common.telemetry.tracing import span
from zekt_dispatcher.delivery import Policy, is_too_old, replay_order, stream_of
from zekt_dispatcher.delivery_commands import Command, ExpireAttempt, Opening, Request
from zekt_dispatcher.delivery_events import Order, Source
from zekt_dispatcher.dispatching import Dispatching
from zekt_dispatcher.ledger import Entry, Ledger

CLOCK_SLACK: Final = timedelta(seconds=5)
"""A timer less than this in the future may be the one that fired, on a clock that was set back."""


class Handlers:
    """The message handler and the timers' handler; both go the same way."""

    def __init__(
        self,
        ledger: Ledger,
        dispatching: Dispatching,
        policy: Policy,
        *,
        clock: Clock = utc_now,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._ledger, self._dispatching, self._policy = ledger, dispatching, policy
        self._clock = clock
        self._jitter = jitter

    async def requested(self, event: router.DeliveryRequested, cause: Envelope) -> Settlement:
        """Take the delivery and attempt it; once it is stored, timers see to the rest."""
        order = order_of(event)
        at = self._clock()
        event_time = at if order.is_replay else cause.time
        entry = Entry(stream=stream_of(order.delivery_id))
        if is_too_old(self._policy, event_time, at):
            await self._ledger.execute(entry, Request(order=order, at=at, event_time=event_time), cause=cause.id)
            return Complete()

        def request(step: Opening) -> Command:
            return Request(order=order, at=at, event_time=event_time, then=step)

        await self._dispatching.advance(entry, order, request, cause=cause.id)
        return Complete()

    async def fire(self, stream: str) -> bool:
        """Do what is due for the delivery; True once nothing is that was due before."""
        entry = await self._ledger.load(stream)
        if entry.state.order is None:
            return True
        with span("delivery timer", entry.traceparent):
            entry = await self._fire(entry, entry.state.order)
            due_at = entry.state.due_at
            return due_at is None or due_at > self._clock() + CLOCK_SLACK or bool(entry.appended)

    async def _fire(self, entry: Entry, order: Order) -> Entry:
        for replay in entry.state.replays:
            await self.take_replay(order, replay, cause=f"{entry.stream}@{entry.version}")
        if entry.state.open is not None:
            return await self._ledger.execute(entry, ExpireAttempt(at=self._clock(), jitter=self._jitter()))
        if entry.state.due_at is not None and entry.state.due_at <= self._clock():
            return await self._dispatching.advance(entry, order, lambda step: step)
        return entry

    async def take_replay(self, order: Order, replay: str, *, cause: str) -> None:
        """Store the replay's request, which is due at once, unless it is there already."""
        at = self._clock()
        request = Request(order=replay_order(order, replay), at=at, event_time=at)
        await self._ledger.execute(Entry(stream=stream_of(replay)), request, cause=cause)


def order_of(event: router.DeliveryRequested) -> Order:
    """Return the order in the router's request, in our own words."""
    fields = msgspec.structs.asdict(event)
    source = Source(**msgspec.structs.asdict(fields.pop("origin")))
    return Order(**fields, source=source)
