"""Names that GitHub did not know a moment ago: asking again at once would cost a call and tell the same."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MAX_KEPT: Final = 10_000


class RefusedNames:
    """Of this process; each is forgotten after `for_s` seconds, so that what is mended is soon seen."""

    def __init__(self, *, for_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._for_s = for_s
        self._monotonic = monotonic
        self._kept: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def why(self, name: str) -> str | None:
        """Return what was said of the name a moment ago, None if nothing was."""
        until, reason = self._kept.get(name.lower(), (0.0, ""))
        return reason if self._monotonic() < until else None

    def keep(self, name: str, reason: str) -> None:
        """Remember what was said of it just now."""
        self._kept[name.lower()] = (self._monotonic() + self._for_s, reason)
        self._kept.move_to_end(name.lower())
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
