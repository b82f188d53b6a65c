"""The broker's clock, which tests move instead of waiting, and the alarms that it rings."""

import asyncio
import time
from collections.abc import Callable


class Clock:
    """Unix time plus an offset that a control can advance."""

    def __init__(self) -> None:
        self._offset_s = 0.0
        self._alarms: list[Alarm] = []

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self._offset_s

    def advance(self, seconds: float) -> None:
        """Move this clock alone, and ring what is due by it before this returns; the machine's stays.

        Raises:
            ValueError: time does not go back.
        """
        if seconds < 0:
            raise ValueError("a clock is only advanced")
        self._offset_s += seconds
        for alarm in self._alarms:
            alarm.catch_up()

    def alarm(self, ring: Callable[[], None]) -> "Alarm":
        """Return an alarm that is not set yet."""
        alarm = Alarm(self, ring)
        self._alarms.append(alarm)
        return alarm

    def stop(self) -> None:
        """Ring nothing any more."""
        for alarm in self._alarms:
            alarm.cancel()
        self._alarms.clear()


class Alarm:
    """Calls `ring` once the clock reaches the earliest time it was set to; `ring` sets it to the next."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._due: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def set(self, due: float) -> None:
        """Ring at this time, or at an earlier one that it is set to."""
        if self._due is None or due < self._due:
            self._due = due
            self._arm(due)

    def catch_up(self) -> None:
        """Ring at once if it is time now, by a clock that was moved."""
        if self._due is None:
            return
        if self._due <= self._clock.now():
            self.cancel()
            self._ring()
        else:
            self._arm(self._due)

    def cancel(self) -> None:
        """Do not ring."""
        self._due = None
        if self._handle is not None:
            self._handle.cancel()

    def _arm(self, due: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        delay_s = max(0.0, due - self._clock.now())
        self._handle = asyncio.get_running_loop().call_later(delay_s, self._fire)

    def _fire(self) -> None:
        self._due, self._handle = None, None
        self._ring()
