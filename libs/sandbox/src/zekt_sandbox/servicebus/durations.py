"""Durations as Service Bus writes them: ISO 8601, days at most."""

import re

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_UNITS_S = (86400, 3600, 60, 1)

UNLIMITED = "P10675199DT2H48M5.4775807S"
"""The longest duration there is, which Service Bus writes for none."""

_UNLIMITED_S = 10675199 * 86400


def seconds(duration: str) -> float:
    """Return how many seconds it is.

    Raises:
        ValueError: it is no duration.
    """
    parts = _DURATION.fullmatch(duration)
    if parts is None or not any(parts.groups()):
        raise ValueError(f"{duration!r} is no duration like PT1M")
    return sum(float(count) * unit for count, unit in zip(parts.groups(), _UNITS_S, strict=True) if count)


def duration(seconds: float) -> str:
    """Write a number of seconds."""
    days, rest = divmod(seconds, _UNITS_S[0])
    hours, rest = divmod(rest, _UNITS_S[1])
    minutes, rest = divmod(rest, _UNITS_S[2])
    time = "".join(f"{count:g}{unit}" for count, unit in ((hours, "H"), (minutes, "M"), (rest, "S")) if count)
    date = f"{days:g}D" if days else ""
    return f"P{date}T{time}" if time else f"P{date}" if date else "PT0S"


def limited_seconds(duration: str | None) -> float | None:
    """Return how many seconds a duration is, None where it is left out or the longest there is.

    Raises:
        ValueError: it is no duration.
    """
    length_s = seconds(duration) if duration else _UNLIMITED_S
    return length_s if length_s < _UNLIMITED_S else None
