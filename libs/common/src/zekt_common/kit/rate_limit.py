"""Rate limits in memory: a token bucket per key. Each process counts for itself, so limits are generous."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

MAX_KEYS: Final = 10_000


class RateLimit:
    """Lets `per_s` pass a second for each key, and up to `burst` at once."""

    def __init__(self, *, per_s: float, burst: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._monotonic = monotonic
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def wait_s(self, key: Hashable, cost: int = 1) -> int:
        """Take `cost` from the key's bucket and return 0, or return after how many whole seconds it holds that much.

        It never holds more than `burst`.
        """
        now = self._monotonic()
        left, since = self._buckets.get(key, (float(self._burst), now))
        left = min(float(self._burst), left + (now - since) * self._per_s)
        allowed = left >= cost
        self._buckets[key] = (left - cost if allowed else left, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > MAX_KEYS:
            self._buckets.popitem(last=False)
        return 0 if allowed else math.ceil((cost - left) / self._per_s)
