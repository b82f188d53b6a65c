"""From bytes to AMQP values: one decoder for each constructor byte."""

import struct
import uuid
from collections.abc import Callable
from typing import Any

from zekt_sandbox.servicebus.amqp.types import Array, Described, Int, Symbol, Timestamp, UByte, UInt, ULong, UShort

Decoder = Callable[[bytes, int], tuple[Any, int]]

_UINT = struct.Struct(">I")
_FIXED_WIDTHS = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}
_ONE_BYTE_SIZES = (0xA, 0xC, 0xE)


def decode(encoded: bytes, at: int = 0) -> tuple[Any, int]:
    """Return the value that starts at a position, and the position after it.

    Raises:
        ValueError, IndexError, struct.error: it is not AMQP.
    """
    return _DECODERS[encoded[at]](encoded, at + 1)


def skip(encoded: bytes, at: int) -> int:
    """Return the position after the value that starts at a position, without decoding it."""
    constructor = encoded[at]
    at += 1
    if constructor == 0:
        return skip(encoded, skip(encoded, at))
    family = constructor >> 4
    if family in _FIXED_WIDTHS:
        return at + _FIXED_WIDTHS[family]
    if family in _ONE_BYTE_SIZES:
        return at + 1 + encoded[at]
    return int(at + 4 + _UINT.unpack_from(encoded, at)[0])


def _constant(value: Any) -> Decoder:
    return lambda _, at: (value, at)


def _number(layout: str) -> Decoder:
    unpack, width = struct.Struct(layout).unpack_from, struct.calcsize(layout)

    def decode_number(encoded: bytes, at: int) -> tuple[Any, int]:
        return unpack(encoded, at)[0], at + width

    return decode_number


def _typed_number(layout: str, convert: Callable[[Any], Any]) -> Decoder:
    unpack, width = struct.Struct(layout).unpack_from, struct.calcsize(layout)

    def decode_number(encoded: bytes, at: int) -> tuple[Any, int]:
        return convert(unpack(encoded, at)[0]), at + width

    return decode_number


def _empty_list(_: bytes, at: int) -> tuple[Any, int]:
    return [], at


def _uuid(encoded: bytes, at: int) -> tuple[Any, int]:
    return uuid.UUID(bytes=encoded[at : at + 16]), at + 16


def _short_bytes(convert: Callable[[bytes], Any]) -> Decoder:
    def decode_short(encoded: bytes, at: int) -> tuple[Any, int]:
        end = at + 1 + encoded[at]
        return convert(encoded[at + 1 : end]), end

    return decode_short


def _long_bytes(convert: Callable[[bytes], Any]) -> Decoder:
    def decode_long(encoded: bytes, at: int) -> tuple[Any, int]:
        end = at + 4 + _UINT.unpack_from(encoded, at)[0]
        return convert(encoded[at + 4 : end]), end

    return decode_long


def _binary(raw: bytes) -> bytes:
    return raw


def _string(raw: bytes) -> str:
    return str(raw, "utf-8")


def _symbol(raw: bytes) -> Symbol:
    return Symbol(raw, "ascii")


def _described(encoded: bytes, at: int) -> tuple[Any, int]:
    descriptor, at = decode(encoded, at)
    value, at = decode(encoded, at)
    return Described(descriptor, value), at


def _short_list(encoded: bytes, at: int) -> tuple[Any, int]:
    return _items(encoded, at + 2, encoded[at + 1])


def _long_list(encoded: bytes, at: int) -> tuple[Any, int]:
    return _items(encoded, at + 8, _UINT.unpack_from(encoded, at + 4)[0])


def _items(encoded: bytes, at: int, count: int) -> tuple[list[Any], int]:
    items = []
    for _ in range(count):
        item, at = _DECODERS[encoded[at]](encoded, at + 1)
        items.append(item)
    return items, at


def _short_map(encoded: bytes, at: int) -> tuple[Any, int]:
    return _entries(encoded, at + 2, encoded[at + 1])


def _long_map(encoded: bytes, at: int) -> tuple[Any, int]:
    return _entries(encoded, at + 8, _UINT.unpack_from(encoded, at + 4)[0])


def _entries(encoded: bytes, at: int, count: int) -> tuple[dict[Any, Any], int]:
    entries = {}
    for _ in range(count // 2):
        key, at = _DECODERS[encoded[at]](encoded, at + 1)
        entries[key], at = _DECODERS[encoded[at]](encoded, at + 1)
    return entries, at


def _short_array(encoded: bytes, at: int) -> tuple[Any, int]:
    return _elements(encoded, at + 2, encoded[at + 1]), at + 1 + encoded[at]


def _long_array(encoded: bytes, at: int) -> tuple[Any, int]:
    end = at + 4 + _UINT.unpack_from(encoded, at)[0]
    return _elements(encoded, at + 8, _UINT.unpack_from(encoded, at + 4)[0]), end


def _elements(encoded: bytes, at: int, count: int) -> Array:
    descriptor = None
    if encoded[at] == 0:
        descriptor, at = decode(encoded, at + 1)
    element_at, array = _DECODERS[encoded[at]], Array()
    at += 1
    for _ in range(count):
        value, at = element_at(encoded, at)
        array.append(value if descriptor is None else Described(descriptor, value))
    return array


def _unknown(encoded: bytes, at: int) -> tuple[Any, int]:
    raise ValueError(f"AMQP has no constructor {encoded[at - 1]:#04x} (at byte {at - 1})")


_DECODERS: list[Decoder] = [_unknown] * 256
for _constructor, _decoder in {
    0x00: _described,
    0x40: _constant(None),
    0x41: _constant(value=True),
    0x42: _constant(value=False),
    0x43: _constant(UInt(0)),
    0x44: _constant(ULong(0)),
    0x45: _empty_list,
    0x50: _typed_number(">B", UByte),
    0x51: _number(">b"),
    0x52: _typed_number(">B", UInt),
    0x53: _typed_number(">B", ULong),
    0x54: _typed_number(">b", Int),
    0x55: _number(">b"),
    0x56: _number(">?"),
    0x60: _typed_number(">H", UShort),
    0x61: _number(">h"),
    0x70: _typed_number(">I", UInt),
    0x71: _typed_number(">i", Int),
    0x72: _number(">f"),
    0x73: _typed_number(">I", chr),
    0x80: _typed_number(">Q", ULong),
    0x81: _number(">q"),
    0x82: _number(">d"),
    0x83: _typed_number(">q", Timestamp),
    0x98: _uuid,
    0xA0: _short_bytes(_binary),
    0xA1: _short_bytes(_string),
    0xA3: _short_bytes(_symbol),
    0xB0: _long_bytes(_binary),
    0xB1: _long_bytes(_string),
    0xB3: _long_bytes(_symbol),
    0xC0: _short_list,
    0xC1: _short_map,
    0xD0: _long_list,
    0xD1: _long_map,
    0xE0: _short_array,
    0xF0: _long_array,
}.items():
    _DECODERS[_constructor] = _decoder
