"""Frames between a process and its writer process: lengths, a pickle, then large contents as they lie in memory.

Both ends of the socket are this program. What an item holds as `pickle.PickleBuffer` is copied by neither of them.
"""

import contextlib
import pickle
import socket
import struct
from collections.abc import Iterator
from typing import Any

BUFFER_BYTES = 4 * 1024 * 1024
_COUNT = struct.Struct(">I")


def frame(content: list[Any]) -> list[bytes | memoryview]:
    """Return the pieces of the frame that carries the list."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(content, protocol=5, buffer_callback=buffers.append)
    pieces: list[bytes | memoryview] = [body]
    pieces += [buffer.raw() for buffer in buffers]
    lengths = [len(piece) for piece in pieces]
    return [struct.pack(f">{len(lengths) + 1}I", len(lengths), *lengths), *pieces]


class Received:
    """What has arrived of a stream of frames."""

    def __init__(self) -> None:
        self._buffer = bytearray(BUFFER_BYTES)
        self._begin = self._end = 0

    def receive(self, connection: socket.socket) -> bool:
        """Wait for bytes, and take all that are there; False once the other end is gone.

        What earlier frames held as buffers is gone with this call.
        """
        if not (count := connection.recv_into(self._room())):
            return False
        self._end += count
        with contextlib.suppress(BlockingIOError):
            while count := connection.recv_into(self._room(), flags=socket.MSG_DONTWAIT):
                self._end += count
        return True

    def take(self, data: bytes) -> None:
        """Take bytes that somebody else received."""
        room = self._room(len(data))
        room[: len(data)] = data
        self._end += len(data)

    def frames(self) -> Iterator[list[Any]]:
        """Yield what each whole frame carries; buffers in it are views, good until more is received."""
        while (pieces := self._pieces()) is not None:
            body, *buffers = pieces
            content: list[Any] = pickle.loads(body, buffers=buffers)  # noqa: S301 - written by our own other end
            yield content

    def _pieces(self) -> list[memoryview] | None:
        """Take the first frame's pieces, or None while it is incomplete."""
        view = memoryview(self._buffer)[self._begin : self._end]
        if len(view) < _COUNT.size:
            return None
        (count,) = _COUNT.unpack_from(view)
        at = _COUNT.size * (count + 1)
        if len(view) < at:
            return None
        lengths = struct.unpack_from(f">{count}I", view, _COUNT.size)
        if len(view) < at + sum(lengths):
            return None
        pieces = []
        for length in lengths:
            pieces.append(view[at : at + length])
            at += length
        self._begin += at
        return pieces

    def _room(self, least: int = 1) -> memoryview:
        """Return the free end of the buffer, moved or grown when there is less than `least` bytes of it."""
        if self._begin == self._end:
            self._begin = self._end = 0
            if len(self._buffer) > BUFFER_BYTES:
                self._move(least)
        if len(self._buffer) - self._end < least:
            self._move(least)
        return memoryview(self._buffer)[self._end :]

    def _move(self, least: int) -> None:
        """Begin again in a buffer with room, since views of the old one may be in use."""
        rest = self._buffer[self._begin : self._end]
        self._buffer = bytearray(max(BUFFER_BYTES, 2 * (len(rest) + least)))
        self._buffer[: len(rest)] = rest
        self._begin, self._end = 0, len(rest)
