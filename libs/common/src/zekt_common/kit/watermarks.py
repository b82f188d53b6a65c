"""When a relay says how far it has published, and how far that is: the minimum over its feeds."""

from collections.abc import Sequence
from datetime import datetime

INTERVAL_S = 0.2
IDLE_INTERVAL_S = 30.0
ACTIVE_S = 600.0


class Watermarks:
    """Paces watermarks; times named `now` are monotonic seconds. They follow every 200 ms after recent events."""

    def __init__(self, feeds: Sequence[str], *, now: float) -> None:
        self._feeds = tuple(feeds)
        self._reached: dict[str, datetime] = {}
        self._refreshed_at: dict[str, float] = {}
        self._announced: datetime | None = None
        self._announced_at = float("-inf")
        self._active_until = now + ACTIVE_S

    def keep_active(self, now: float) -> None:
        """Note that an event was published, which makes somebody wait for watermarks."""
        self._active_until = now + ACTIVE_S

    def due_in_s(self, feed: str, now: float) -> float:
        """Return how long until this feed's reach should be looked at again; zero or less: now."""
        return self._refreshed_at.get(feed, float("-inf")) + self._interval_s(now) - now

    def reach(self, feed: str, through: datetime, now: float) -> None:
        """Note that everything in `feed` stamped up to `through` has been published."""
        self._reached[feed] = through
        self._refreshed_at[feed] = now

    def restart(self, feed: str, through: datetime) -> None:
        """Go back: what lies after `through` in `feed` is about to be published again."""
        self._reached[feed] = through
        self._refreshed_at.pop(feed, None)
        self._announced, self._announced_at = None, float("-inf")

    def take(self, now: float) -> datetime | None:
        """Return the watermark to publish now, or None if it is too early or nothing has moved."""
        if len(self._reached) < len(self._feeds) or now - self._announced_at < self._interval_s(now) / 2:
            return None
        through = min(self._reached.values())
        if self._announced is not None and through <= self._announced:
            return None
        self._announced, self._announced_at = through, now
        return through

    def _interval_s(self, now: float) -> float:
        return INTERVAL_S if now < self._active_until else IDLE_INTERVAL_S
