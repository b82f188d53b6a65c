"""Leaves GitHub alone while it is failing, and lets one call through to see whether it has recovered."""

from collections.abc import Callable
from typing import Final

FAILURES_TO_OPEN: Final = 3
LONGEST_PAUSE_S: Final = 30.0
_MAX_DOUBLINGS: Final = 5


class Circuit:
    """Closed: all calls pass. Open: none does. After the pause one does, and its outcome decides."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failures = 0
        self._open_until = 0.0
        self._probing = False

    def blocked_for_s(self) -> float:
        """Return 0 if a call may pass now, else the seconds after which to try; a passing call must report back."""
        remaining = self._open_until - self._monotonic()
        if remaining > 0:
            return remaining
        if self._open_until and self._probing:
            return 1.0
        self._probing = True
        return 0.0

    def succeeded(self) -> None:
        """GitHub answered, be it with a refusal."""
        self._failures, self._open_until, self._probing = 0, 0.0, False

    def failed(self, asked_s: float | None = None) -> None:
        """GitHub did not answer usefully; `asked_s` is how long it asked to be left alone, which it is at least."""
        self._failures += 1
        self._probing = False
        over = self._failures - FAILURES_TO_OPEN
        own_s = min(2.0 ** min(over, _MAX_DOUBLINGS), LONGEST_PAUSE_S) if over >= 0 else 0.0
        if pause_s := max(own_s, asked_s or 0.0):
            self._open_until = max(self._open_until, self._monotonic() + pause_s)
