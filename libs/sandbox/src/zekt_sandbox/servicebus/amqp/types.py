"""AMQP 1.0 types that Python's own do not tell apart."""

from dataclasses import dataclass
from typing import Any


class Symbol(str):
    """A name from a constrained domain, ASCII."""

    __slots__ = ()


class UByte(int):
    """8 bits, unsigned."""

    __slots__ = ()


class UShort(int):
    """16 bits, unsigned."""

    __slots__ = ()


class UInt(int):
    """32 bits, unsigned."""

    __slots__ = ()


class ULong(int):
    """64 bits, unsigned."""

    __slots__ = ()


class Int(int):
    """32 bits, signed; a plain `int` is 64 bits, signed."""

    __slots__ = ()


class Timestamp(int):
    """Milliseconds since the epoch."""

    __slots__ = ()

    @classmethod
    def of(cls, seconds: float) -> "Timestamp":
        """Convert Unix seconds."""
        return cls(seconds * 1000)


class Array(list[Any]):
    """Values of one type, which is written once."""

    __slots__ = ()


@dataclass(slots=True)
class Described:
    """A value whose descriptor says what it stands for."""

    descriptor: Any
    value: Any
