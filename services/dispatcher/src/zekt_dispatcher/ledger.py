"""Deliveries' streams: what is decided is appended, and the loser of a race decides again."""

from collections.abc import Sequence
from typing import Final

import msgspec

from zekt_common.decider import Decider, fold
from zekt_common.envelope import Event, NewEvent
from zekt_common.errors import StreamConflict
from zekt_common.ports import EventStore
from zekt_common.telemetry.tracing import current_span
from zekt_dispatcher.delivery_commands import Command
from zekt_dispatcher.delivery_events import DeliveryRequested, Order
from zekt_dispatcher.delivery_state import Delivery
from zekt_dispatcher.telling import tell

SOURCE: Final = "zekt/dispatcher"
TRIES: Final = 4


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as it was last seen, and what the command before appended to it."""

    stream: str
    state: Delivery = Delivery()
    version: int = 0
    traceparent: str | None = None
    appended: tuple[Event, ...] = ()


class Ledger:
    """Loads deliveries and executes commands on them."""

    def __init__(self, store: EventStore, decider: Decider[Delivery, Command]) -> None:
        self._store = store
        self._decider = decider

    async def load(self, stream: str) -> Entry:
        """Return the delivery as it is now; of version 0 if there is none."""
        stored = await self._store.read(stream)
        state, version = fold(self._decider, stored)
        traceparent = stored[0].traceparent if stored else None
        return Entry(stream=stream, state=state, version=version, traceparent=traceparent)

    async def execute(self, entry: Entry, command: Command, *, cause: str | None = None) -> Entry:
        """Decide `command` on the delivery as last seen, or as it turns out to be, and append what comes of it.

        What is appended is caused by `cause`, or else by the event before it.

        Raises:
            StreamConflict: the race was lost again and again.
        """
        for left in reversed(range(TRIES)):
            decided = self._decider.decide(entry.state, command)
            if not decided:
                return msgspec.structs.replace(entry, appended=())
            try:
                return await self._append(entry, decided, cause)
            except StreamConflict:
                if not left:
                    raise
                entry = await self.load(entry.stream)
        return entry

    async def _append(self, entry: Entry, decided: Sequence[Event], cause: str | None) -> Entry:
        state = entry.state
        for event in decided:
            state = self._decider.evolve(state, event)
        cause = cause or f"{entry.stream}@{entry.version}"
        events = [_wrap(event, _order(state, decided), cause) for event in decided]
        stored = await self._store.append(entry.stream, events, expected_version=entry.version)
        tell(state, decided)
        return msgspec.structs.replace(entry, state=state, version=stored[-1].version, appended=tuple(decided))


def _order(state: Delivery, decided: Sequence[Event]) -> Order:
    if state.order is not None:
        return state.order
    return next(event.order for event in decided if isinstance(event, DeliveryRequested))


def _wrap(event: Event, order: Order, cause: str) -> NewEvent:
    around = current_span()
    return NewEvent(
        body=event,
        source=SOURCE,
        subject=order.correlation_id,
        correlationid=order.correlation_id,
        causationid=cause,
        traceparent=around.traceparent if around else None,
        accountid=str(order.owner_id),
    )
