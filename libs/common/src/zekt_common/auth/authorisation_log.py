"""What operators and owners order, and who was turned away: stored as events before the caller hears of it."""

import asyncio
import contextlib
import hashlib
import secrets
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import ClassVar, Final

from zekt_common.clock import Clock, utc_now
from zekt_common.envelope import Event, NewEvent
from zekt_common.errors import StreamConflict
from zekt_common.ports import EventStore
from zekt_common.schemas import Schemas
from zekt_common.telemetry.tracing import current_span

REFUSALS_PER_MINUTE: Final = 300
MACHINES_REFUSALS_PER_MINUTE: Final = 60
"""Of what all the internet may knock at: a flood must fill no disk."""
UNKNOWN: Final = "unknown"
_OVERFLOW: Final = "elsewhere"


class ActionOrdered(Event, frozen=True, kw_only=True):
    """Somebody who may has ordered a change: `route` is what was called, `origin` the caller's network."""

    TYPE: ClassVar[str] = "dev.zekt.access.ordered"

    actor: str
    origin: str
    route: str


class CallerRefused(Event, frozen=True, kw_only=True):
    """A request was refused with this stable `error`, for the first time in the minute that began `at`."""

    TYPE: ClassVar[str] = "dev.zekt.access.refused"

    actor: str
    origin: str
    route: str
    error: str
    at: datetime


ACCESS_SCHEMAS: Final = Schemas([ActionOrdered, CallerRefused])


class AuthorisationLog:
    """Of one service, in its own store. Equal refusals of a minute are one event; a flood of others is cut short.

    Whoever proved who they are is counted apart, so that a flood from nobody known hides nothing of what they tried.
    """

    def __init__(
        self,
        service: str,
        store: Callable[[], EventStore],
        *,
        refusals_per_minute: int = REFUSALS_PER_MINUTE,
        clock: Clock = utc_now,
    ) -> None:
        self._source = f"zekt/{service}"
        self._store = store
        self._refusals_per_minute = refusals_per_minute
        self._clock = clock
        self._minute: datetime | None = None
        self._noted: set[str] = set()
        self._counted: Counter[bool] = Counter()
        self._writing = asyncio.Lock()

    async def ordered(self, *, actor: str, origin: str, route: str) -> None:
        """Store who orders what, before it is done."""
        await self._append(f"access/{secrets.token_hex(16)}", ActionOrdered(actor=actor, origin=origin, route=route))

    async def refused(self, *, actor: str, origin: str, route: str, error: str) -> None:
        """Store who was refused what, once a minute."""
        refused = CallerRefused(actor=actor, origin=origin, route=route, error=error, at=_minute_of(self._clock()))
        async with self._writing:
            if refused.at != self._minute:
                self._minute, self._noted, self._counted = refused.at, set(), Counter()
            event = self._cut_short(refused)
            stream = _stream_of(event)
            if stream in self._noted:
                return
            with contextlib.suppress(StreamConflict):  # another replica has noted it
                await self._append(stream, event)
            self._noted.add(stream)
            self._counted[_is_known(event)] += 1

    def _cut_short(self, refused: CallerRefused) -> CallerRefused:
        """Return the refusal, or what stands for all others once too many were noted in this minute."""
        is_full = self._counted[_is_known(refused)] >= self._refusals_per_minute
        if not is_full or _stream_of(refused) in self._noted:
            return refused
        return CallerRefused(actor=UNKNOWN, origin=_OVERFLOW, route="", error=refused.error, at=refused.at)

    async def _append(self, stream: str, event: Event) -> None:
        around = current_span()
        noted = NewEvent(
            body=event,
            source=self._source,
            subject=stream,
            correlationid=stream,
            causationid=stream,
            traceparent=around.traceparent if around else None,
        )
        await self._store().append(stream, [noted], expected_version=0)


def _minute_of(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _is_known(refused: CallerRefused) -> bool:
    return refused.actor != UNKNOWN


def _stream_of(refused: CallerRefused) -> str:
    facts = (refused.actor, refused.origin, refused.route, refused.error, refused.at)
    return f"access/{hashlib.sha256(repr(facts).encode()).hexdigest()[:40]}"
