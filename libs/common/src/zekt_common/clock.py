"""Time as a dependency: decisions get it in commands, adapters get it injected."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the wall clock's time, aware, in UTC."""
    return datetime.now(UTC)


def to_micros(moment: datetime) -> int:
    """Return `moment` as microseconds since 1970, the unit of every stored time."""
    return round(moment.timestamp() * 1_000_000)


def from_micros(micros: int) -> datetime:
    """Return the aware UTC time of `micros` microseconds since 1970."""
    return datetime.fromtimestamp(micros / 1_000_000, UTC)
