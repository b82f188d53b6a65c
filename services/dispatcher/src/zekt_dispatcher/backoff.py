"""How long to wait before the next attempt: exponential with full jitter, never sooner than GitHub asks for."""

from datetime import timedelta
from typing import Final

FIRST_S: Final = 1.0
LONGEST_S: Final = 900.0
SPREAD_S: Final = 5.0
_MAX_DOUBLINGS: Final = 20


def backoff(failures: int, *, jitter: float, not_before_s: float = 0.0) -> timedelta:
    """Return the wait after `failures` failures in a row; `jitter` from 0 to 1 chooses within the range.

    With `not_before_s` nothing is due before that, and what waits for the same moment is spread behind it.
    """
    longest_s = min(FIRST_S * 2.0 ** min(max(failures - 1, 0), _MAX_DOUBLINGS), LONGEST_S)
    if not_before_s > 0:
        return timedelta(seconds=not_before_s + jitter * min(longest_s, SPREAD_S))
    return timedelta(seconds=jitter * longest_s)
