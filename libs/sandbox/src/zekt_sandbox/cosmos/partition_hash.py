"""Effective partition keys: where a partition key's value falls in the hashed key space.

The SDK computes the same hash to find the key range of a value, so both must agree bit for bit: version 2 of the
service's scheme, MurmurHash3 (x64, 128 bits) over a typed encoding.
"""

import struct
from typing import Any

_MASK = (1 << 64) - 1
_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
_BLOCK_BYTES = 16


def effective_partition_key(value: Any) -> str:
    """The value's place in the key space, 32 upper-case hexadecimal digits below `FF`."""
    first, second = _murmur3(_encoded(value))
    digest = bytearray(struct.pack("<QQ", first, second)[::-1])
    digest[0] &= 0x3F
    return digest.hex().upper()


def _encoded(value: Any) -> bytes:
    if isinstance(value, str):
        return b"\x08" + value.encode() + b"\xff"
    if isinstance(value, bool):
        return b"\x03" if value else b"\x02"
    if value is None:
        return b"\x01"
    if isinstance(value, int | float):
        return b"\x05" + struct.pack("<d", float(value))
    return b"\x00"  # undefined


def _murmur3(content: bytes) -> tuple[int, int]:
    length = len(content)
    whole = length - length % _BLOCK_BYTES
    h1 = h2 = 0
    for start in range(0, whole, _BLOCK_BYTES):
        k1, k2 = struct.unpack_from("<QQ", content, start)
        h1 = ((_rotated(h1 ^ _first(k1), 27) + h2) * 5 + 0x52DCE729) & _MASK
        h2 = ((_rotated(h2 ^ _second(k2), 31) + h1) * 5 + 0x38495AB5) & _MASK
    k1, k2 = struct.unpack("<QQ", content[whole:].ljust(_BLOCK_BYTES, b"\0"))
    h1, h2 = h1 ^ _first(k1) ^ length, h2 ^ _second(k2) ^ length
    h1 = (h1 + h2) & _MASK
    h2 = (h2 + h1) & _MASK
    h1, h2 = _finished(h1), _finished(h2)
    h1 = (h1 + h2) & _MASK
    return h1, (h2 + h1) & _MASK


def _rotated(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _MASK


def _first(block: int) -> int:
    return _rotated(block * _C1 & _MASK, 31) * _C2 & _MASK


def _second(block: int) -> int:
    return _rotated(block * _C2 & _MASK, 33) * _C1 & _MASK


def _finished(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & _MASK
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return value ^ value >> 33
