"""How many requests GitHub still grants each installation, and how many installations pause: looked at by metrics."""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from zekt_common.telemetry.instruments import Reading
from zekt_common.telemetry.metrics import GITHUB_PAUSED, GITHUB_REMAINING
from zekt_dispatcher.budgets import Budgets

REMEMBERED: Final = 1000
SHOWN: Final = 10


class Allowances:
    """What GitHub said last to each installation; the ten that are closest to their limits are reported."""

    def __init__(self) -> None:
        self._remaining: OrderedDict[int, int] = OrderedDict()

    def note(self, installation_id: int, remaining: int | None) -> None:
        """Remember what GitHub's answer said, if it said anything."""
        if remaining is None:
            return
        self._remaining[installation_id] = remaining
        self._remaining.move_to_end(installation_id)
        if len(self._remaining) > REMEMBERED:
            self._remaining.popitem(last=False)

    def lowest(self) -> Iterable[Reading]:
        """Return what is left to the installations that have the least."""
        lowest = heapq.nsmallest(SHOWN, list(self._remaining.items()), key=lambda known: known[1])
        return [(remaining, {"installation": str(installation_id)}) for installation_id, remaining in lowest]

    def watch(self, budgets: Budgets) -> Callable[[], None]:
        """Report until the returned function is called."""
        unwatch = [GITHUB_REMAINING.watch_each(self.lowest), GITHUB_PAUSED.watch(lambda: budgets.pausing)]

        def stop() -> None:
            for each in unwatch:
                each()

        return stop
