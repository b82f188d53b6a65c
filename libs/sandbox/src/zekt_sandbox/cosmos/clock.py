"""The stand-in's clock, which tests move instead of waiting, or hold at the time of a clock of their own."""

import time


class Clock:
    """Unix time plus an offset that a control can advance, unless it was told to stand still."""

    def __init__(self) -> None:
        self._offset_s = 0.0
        self._standing_at: float | None = None

    def now(self) -> float:
        """Seconds since the epoch."""
        return (time.time() if self._standing_at is None else self._standing_at) + self._offset_s

    def advance(self, seconds: float) -> None:
        """Move this clock alone; the machine's stays."""
        self._offset_s += seconds

    def stand(self, at: float | None) -> None:
        """Stand still at a time, in seconds since the epoch, until told otherwise; None is the machine's time again."""
        self._offset_s, self._standing_at = 0.0, at
