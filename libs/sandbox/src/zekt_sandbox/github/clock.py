"""The stand-in's clock, which tests move instead of waiting."""

import time
from datetime import UTC, datetime


class Clock:
    """Unix time plus an offset that a control can advance."""

    def __init__(self) -> None:
        self._offset_s = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self._offset_s

    def machine_now(self) -> float:
        """The machine's own time, which JWTs go by: their other end cannot follow the offset."""
        return time.time()

    def advance(self, seconds: float) -> None:
        """Move this clock alone; the machine's stays."""
        self._offset_s += seconds


def iso(seconds: float) -> str:
    """The time as GitHub writes it: UTC, whole seconds, with a Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
