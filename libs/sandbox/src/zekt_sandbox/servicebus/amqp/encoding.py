"""From AMQP values to bytes: one encoder for each type."""

import struct
import uuid
from collections.abc import Callable
from typing import Any

from zekt_sandbox.servicebus.amqp.types import Array, Described, Int, Symbol, Timestamp, UByte, UInt, ULong, UShort

Encoder = Callable[[Any], bytes]

_UINT, _ULONG, _LONG, _INT = struct.Struct(">I"), struct.Struct(">Q"), struct.Struct(">q"), struct.Struct(">i")
_USHORT, _DOUBLE, _BYTE = struct.Struct(">H"), struct.Struct(">d"), struct.Struct(">b")
_BYTE_LIMIT = 256


def encode(value: Any) -> bytes:
    """Return a value's encoding.

    Raises:
        TypeError: AMQP has no such type.
    """
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        raise TypeError(f"AMQP has no type for {type(value).__name__}")
    return encoder(value)


def encode_list(items: list[Any]) -> bytes:
    """Return the encoding of a list."""
    if not items:
        return b"\x45"
    return _compound(b"".join([encode(item) for item in items]), len(items), 0xC0, 0xD0)


def encode_map(entries: dict[Any, Any]) -> bytes:
    """Return the encoding of a map."""
    encoded = b"".join([encode(key) + encode(value) for key, value in entries.items()])
    return _compound(encoded, 2 * len(entries), 0xC1, 0xD1)


def _compound(encoded: bytes, count: int, short: int, long: int) -> bytes:
    if len(encoded) < _BYTE_LIMIT - 1 and count < _BYTE_LIMIT:
        return bytes((short, len(encoded) + 1, count)) + encoded
    return bytes((long,)) + _UINT.pack(len(encoded) + 4) + _UINT.pack(count) + encoded


def _variable(raw: bytes, short: bytes, long: bytes) -> bytes:
    if len(raw) < _BYTE_LIMIT:
        return short + bytes((len(raw),)) + raw
    return long + _UINT.pack(len(raw)) + raw


def _binary(value: bytes) -> bytes:
    return _variable(value, b"\xa0", b"\xb0")


def _string(value: str) -> bytes:
    return _variable(value.encode(), b"\xa1", b"\xb1")


def _symbol(value: Symbol) -> bytes:
    return _variable(value.encode("ascii"), b"\xa3", b"\xb3")


def _boolean(value: bool) -> bytes:  # noqa: FBT001 - an encoder of its type
    return b"\x41" if value else b"\x42"


def _uint(value: UInt) -> bytes:
    if value == 0:
        return b"\x43"
    return b"\x52" + bytes((value,)) if value < _BYTE_LIMIT else b"\x70" + _UINT.pack(value)


def _ulong(value: ULong) -> bytes:
    if value == 0:
        return b"\x44"
    return b"\x53" + bytes((value,)) if value < _BYTE_LIMIT else b"\x80" + _ULONG.pack(value)


def _long(value: int) -> bytes:
    return b"\x55" + _BYTE.pack(value) if -128 <= value < 128 else b"\x81" + _LONG.pack(value)  # noqa: PLR2004 - a byte


def _int(value: Int) -> bytes:
    return b"\x54" + _BYTE.pack(value) if -128 <= value < 128 else b"\x71" + _INT.pack(value)  # noqa: PLR2004 - a byte


def _described(value: Described) -> bytes:
    return b"\x00" + encode(value.descriptor) + encode(value.value)


def _array(values: Array) -> bytes:
    if not values:
        return b"\x45"
    constructor, element = _ELEMENTS[type(values[0])]
    return _compound(constructor + b"".join(map(element, values)), len(values), 0xE0, 0xF0)


def _element_of_text(value: str) -> bytes:
    raw = value.encode()
    return _UINT.pack(len(raw)) + raw


_ELEMENTS: dict[type, tuple[bytes, Encoder]] = {
    uuid.UUID: (b"\x98", lambda value: value.bytes),
    Timestamp: (b"\x83", _LONG.pack),
    int: (b"\x81", _LONG.pack),
    Symbol: (b"\xb3", _element_of_text),
    str: (b"\xb1", _element_of_text),
}
_ENCODERS: dict[type, Encoder] = {
    type(None): lambda _: b"\x40",
    bool: _boolean,
    str: _string,
    Symbol: _symbol,
    bytes: _binary,
    UByte: lambda value: b"\x50" + bytes((value,)),
    UShort: lambda value: b"\x60" + _USHORT.pack(value),
    UInt: _uint,
    ULong: _ulong,
    Int: _int,
    int: _long,
    Timestamp: lambda value: b"\x83" + _LONG.pack(value),
    float: lambda value: b"\x82" + _DOUBLE.pack(value),
    uuid.UUID: lambda value: b"\x98" + value.bytes,
    list: encode_list,
    dict: encode_map,
    Array: _array,
    Described: _described,
}
