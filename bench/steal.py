"""What the host takes from this machine for its other guests: their work is in every latency read meanwhile."""

from pathlib import Path

_STEAL = 8
"""Where `/proc/stat` has the ticks in which this machine wanted to run and could not."""


class Steal:
    """The share of both cores' time that was taken since this was made."""

    def __init__(self) -> None:
        self._before = _ticks()

    def percent(self) -> float:
        """Return it in percent."""
        spent = [now - before for now, before in zip(_ticks(), self._before, strict=True)]
        return round(100 * spent[_STEAL - 1] / max(1, sum(spent)), 2)


def _ticks() -> list[int]:
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()
    return [int(field) for field in fields[1 : _STEAL + 1]]
