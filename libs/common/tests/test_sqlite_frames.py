"""Frames between a process and its writer process."""

import pickle
import socket
from typing import Any

import pytest

from zekt_common.adapters.sqlite_frames import BUFFER_BYTES, Received, frame

pytestmark = pytest.mark.timeout(60)


def plain(content: list[Any]) -> list[Any]:
    return [bytes(item) if isinstance(item, memoryview) else item for item in content]


def test_frames_are_taken_only_whole() -> None:
    whole = b"".join([*frame([1, "two"]), *frame([pickle.PickleBuffer(b"three")]), *frame([4])])
    received = Received()
    taken = []
    for byte in whole:
        received.take(bytes([byte]))
        taken += [plain(content) for content in received.frames()]
    assert taken == [[1, "two"], [b"three"], [4]]


@pytest.mark.parametrize("chunk_bytes", [1_000, 65_536, 3_000_000])
def test_contents_larger_than_the_buffer_arrive_whole_however_they_are_cut(chunk_bytes: int) -> None:
    contents = [bytes([number]) * (number * BUFFER_BYTES // 2) for number in (1, 3, 5)]
    received = Received()
    taken = []
    for content in contents:
        whole = b"".join(frame([pickle.PickleBuffer(content), "and more"]))
        for start in range(0, len(whole), chunk_bytes):
            received.take(whole[start : start + chunk_bytes])
            taken += [plain(one) for one in received.frames()]
    assert taken == [[content, "and more"] for content in contents]


def test_what_one_frame_holds_stays_as_it_is_while_the_next_ones_are_taken() -> None:
    received = Received()
    received.take(b"".join(frame([pickle.PickleBuffer(b"first")])))
    received.take(b"".join(frame([pickle.PickleBuffer(b"second")])))
    both = list(received.frames())
    assert [plain(content) for content in both] == [[b"first"], [b"second"]]


def test_a_socket_is_read_as_far_as_it_goes_and_its_end_is_told() -> None:
    ours, theirs = socket.socketpair()
    received = Received()
    with ours:
        with theirs:
            theirs.sendall(b"".join([*frame(["a"]), *frame(["b"])]))
            assert received.receive(ours)
            assert list(received.frames()) == [["a"], ["b"]]
        assert not received.receive(ours)
