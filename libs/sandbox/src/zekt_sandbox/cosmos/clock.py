"""The stand-in's clock, which tests move instead of waiting for items to expire."""

import time


class Clock:
    """Unix time plus an offset that a control can advance."""

    def __init__(self) -> None:
        self._offset_s = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self._offset_s

    def advance(self, seconds: float) -> None:
        """Move this clock alone; the machine's stays."""
        self._offset_s += seconds
