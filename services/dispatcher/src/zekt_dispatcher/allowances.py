"""How many requests GitHub still grants each installation, and how many installations pause: looked at by metrics."""

import heapq
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from zekt_common.telemetry.instruments import Reading
from zekt_common.telemetry.metrics import GITHUB_PAUSED, GITHUB_REMAINING
from zekt_dispatcher.budgets import Budgets

REMEMBERED: Final = 1000
SHOWN: Final = 10
RESET_S: Final = 3600.0
"""GitHub's limits are by the hour: what it said longer ago is no longer true."""


class Allowances:
    """What GitHub said last to each installation; the ten that are closest to their limits are reported."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._told: OrderedDict[int, tuple[int, float]] = OrderedDict()

    def note(self, installation_id: int, remaining: int | None) -> None:
        """Remember what GitHub's answer said, if it said anything."""
        if remaining is None:
            return
        self._told[installation_id] = remaining, self._monotonic()
        self._told.move_to_end(installation_id)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)

    def lowest(self) -> Iterable[Reading]:
        """Return what is left to the installations that have the least."""
        since = self._monotonic() - RESET_S
        known = [(remaining, id_) for id_, (remaining, at) in list(self._told.items()) if at > since]
        return [(remaining, {"installation": str(id_)}) for remaining, id_ in heapq.nsmallest(SHOWN, known)]

    def watch(self, budgets: Budgets) -> Callable[[], None]:
        """Report until the returned function is called."""
        unwatch = [GITHUB_REMAINING.watch_each(self.lowest), GITHUB_PAUSED.watch(lambda: budgets.pausing)]

        def stop() -> None:
            for each in unwatch:
                each()

        return stop
