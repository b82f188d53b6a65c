import asyncio
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from libs.sandbox.tests.servicebus.conftest import EMPTY

from zekt_sandbox.servicebus import serving
from zekt_sandbox.servicebus.amqp.decoding import decode, skip
from zekt_sandbox.servicebus.amqp.encoding import encode
from zekt_sandbox.servicebus.amqp.types import Array, Described, Int, Symbol, Timestamp, UByte, UInt, ULong, UShort

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=300),
    st.binary(max_size=300),
    st.uuids(),
    st.integers(0, 2**8 - 1).map(UByte),
    st.integers(0, 2**16 - 1).map(UShort),
    st.integers(0, 2**32 - 1).map(UInt),
    st.integers(0, 2**64 - 1).map(ULong),
    st.integers(-(2**31), 2**31 - 1).map(Int),
    st.integers(-(2**63), 2**63 - 1).map(Timestamp),
    st.text(st.characters(codec="ascii"), max_size=300).map(Symbol),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=20),
        st.dictionaries(st.text(max_size=5), inner, max_size=8),
        st.builds(Described, st.integers(0, 2**64 - 1).map(ULong), inner),
    ),
    max_leaves=40,
)


@settings(deadline=None)
@given(VALUES)
def test_every_value_is_decoded_as_it_was_encoded(value: Any) -> None:
    encoded = encode(value)
    decoded, end = decode(encoded)
    assert decoded == value
    assert type(decoded) is type(value)
    assert end == skip(encoded, 0) == len(encoded)


@pytest.mark.parametrize(
    "array", [[1, 2**40], [uuid.UUID(int=5)], ["a", "ü" * 200], [Symbol("a")], [Timestamp(5), Timestamp(6)]]
)
def test_arrays_write_their_type_once(array: list[Any]) -> None:
    encoded = encode(Array(array))
    assert decode(encoded) == (array, len(encoded))
    assert skip(encoded, 0) == len(encoded)


def test_what_amqp_has_no_type_for_is_refused() -> None:
    with pytest.raises(TypeError, match="no type for set"):
        encode(set())


@pytest.mark.parametrize("encoded", [b"\x01", b"", b"\xb0\x00", b"\xc0\x05\x05", b"\x70\x00"])
def test_what_is_not_amqp_is_not_decoded(encoded: bytes) -> None:
    with pytest.raises((ValueError, IndexError, __import__("struct").error)):
        decode(encoded)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"AMQP\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        b"AMQP\x00\x01\x00\x00\xff\xff\xff\xff\x02\x00\x00\x00",
        b"AMQP\x00\x01\x00\x00\x00\x00\x00\x0c\x02\x00\x00\x00\x01\x01\x01\x01",
    ],
)
async def test_who_does_not_speak_amqp_is_cut_off(sent: bytes) -> None:
    async with serving(EMPTY) as sandbox:
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
        writer.write(sent)
        async with asyncio.timeout(60):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"AMQP\x00\x01\x00\x00")
    assert b"amqp:decode-error" in answer
