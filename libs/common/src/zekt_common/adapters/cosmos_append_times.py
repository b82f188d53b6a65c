"""The times of appends where no single writer stamps them: bounded, checked, and ordered within each stream.

Each writer stamps by its own clock. What makes a horizon possible all the same is that an append is given up when it
takes too long, and refused when this machine's clock turns out to be off.
"""

from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from zekt_common.adapters.cosmos_container import CosmosContainer, Item
from zekt_common.clock import Clock, from_micros
from zekt_common.envelope import Envelope, decode
from zekt_common.errors import ClockApart

REMEMBERED: Final = 4096
_TICK: Final = timedelta(microseconds=1)


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """How late an append may be committed after its stamp, and how far machines' clocks may be from true time."""

    attempt_within_s: float = 3.0
    executes_within_s: float = 5.0
    clock_off_s: float = 1.0

    @property
    def margin_s(self) -> float:
        """How far back the horizon lies: whatever is committed later bears a later stamp."""
        return self.attempt_within_s + self.executes_within_s + 2 * self.clock_off_s


class AppendTimes:
    """Stamps appends by the clock, never before the stream's last event, and knows when all of a time are in."""

    def __init__(self, container: CosmosContainer, clock: Clock, timing: Timing) -> None:
        self._container = container
        self._clock = clock
        self.timing = timing
        self.margin = timedelta(seconds=timing.margin_s)
        self._latest = from_micros(0)
        self._heads: OrderedDict[str, tuple[int, datetime]] = OrderedDict()

    async def stamp(self, stream: str, version: int) -> datetime:
        """Return the time for an append after this version of the stream."""
        last = await self._time_of(stream, version) if version else None
        now = self._now()
        return now if last is None else max(now, last + _TICK)

    def note(self, last: Envelope) -> None:
        """Remember the time of a stream's last event, for the next append to it."""
        self._heads[last.stream] = (last.version, last.time)
        self._heads.move_to_end(last.stream)
        if len(self._heads) > REMEMBERED:
            self._heads.popitem(last=False)

    def check(self, envelope: Envelope, answer: Item) -> None:
        """Compare our clock with the second in which the server committed.

        Raises:
            ClockApart: the event is stored, but its stamp is further from the truth than the horizon allows for.
        """
        committed = datetime.fromtimestamp(answer["resourceBody"]["_ts"], tz=UTC)
        off = timedelta(seconds=self.timing.clock_off_s)
        second = timedelta(seconds=1)
        if envelope.time - off > committed + second or self._now() + off < committed:
            raise ClockApart("this machine's clock and Cosmos DB's are apart: set the clock by a time server")

    def horizon(self) -> datetime:
        """Return the time that every later commit, by whichever writer, will be stamped after."""
        return self._now() - self.margin

    def _now(self) -> datetime:
        self._latest = max(self._latest, self._clock())
        return self._latest

    async def _time_of(self, stream: str, version: int) -> datetime | None:
        known = self._heads.get(stream)
        if known is not None and known[0] == version:
            return known[1]
        item = await self._container.read(stream, f"{version:010d}")
        return decode(item["event"]).time if item else None
