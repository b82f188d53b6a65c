"""A connection over TCP: SASL, open, frames in and out."""

import asyncio
import logging
import struct
from collections import deque
from typing import Any, Protocol

from zekt_sandbox.servicebus.amqp.decoding import decode
from zekt_sandbox.servicebus.amqp.link import Link
from zekt_sandbox.servicebus.amqp.performatives import (
    BEGIN,
    CLOSE,
    OPEN,
    SASL_INIT,
    SASL_MECHANISMS,
    SASL_OUTCOME,
    AmqpError,
    padded,
    performative,
)
from zekt_sandbox.servicebus.amqp.session import Session
from zekt_sandbox.servicebus.amqp.types import Array, Symbol, UByte, UInt, UShort

_SASL_HEADER, _AMQP_HEADER = b"AMQP\x03\x01\x00\x00", b"AMQP\x00\x01\x00\x00"
_MECHANISMS = ("MSSBCBS", "ANONYMOUS", "EXTERNAL")
_FRAME_HEADER = struct.Struct(">IBBH")
_FRAME_SIZE, _SMALLEST_FRAME_SIZE = 65536, 512
_CHANNELS, _IDLE_TIMEOUT_MS = 4999, 240_000
_SENDING_AHEAD_BYTES = 4 * 2**20

log = logging.getLogger(__name__)


class Broker(Protocol):
    """What connections lead to."""

    connections: set["Connection"]

    @property
    def incoming_delay_s(self) -> float:
        """How much later to act on what arrives."""

    def admit(self, connection: "Connection") -> None:
        """Let the connection in, or raise `AmqpError`."""

    def attach(self, link: Link) -> None:
        """Open the link to the node at its address, or raise `AmqpError`."""


class Connection(asyncio.Protocol):
    """One connection; `grants` is what the tokens presented on it allow."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.sessions: dict[int, Session] = {}
        self.grants: set[str] = set()
        self.max_frame_size = _SMALLEST_FRAME_SIZE
        self.is_paused = False
        self.is_open = False
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._expects_header, self._offers_sasl = True, True
        self._unsent: list[bytes] = []
        self._delayed: deque[tuple[float, bytes]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the broker's connections."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - streams only
        transport.set_write_buffer_limits(high=_SENDING_AHEAD_BYTES)
        self._transport = transport
        self.broker.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Leave the broker: links are gone, locks stay until they expire."""
        self.broker.connections.discard(self)
        self.is_open = False
        for session in self.sessions.values():
            session.closed()
        self.sessions.clear()
        self._transport = None

    def pause_writing(self) -> None:
        """Stop sending messages: the peer does not read as fast."""
        self.is_paused = True

    def resume_writing(self) -> None:
        """Send on."""
        self.is_paused = False
        for session in list(self.sessions.values()):
            session.offer_credit()

    def data_received(self, data: bytes) -> None:
        """Act on what has arrived: at once, or as late as was ordered and in order."""
        delay_s = self.broker.incoming_delay_s
        if delay_s or self._delayed:
            self._delayed.append((self._loop.time() + delay_s, data))
            if len(self._delayed) == 1:
                self._loop.call_at(self._delayed[0][0], self._read_delayed)
        else:
            self._read(data)

    def _read_delayed(self) -> None:
        while self._delayed and self._delayed[0][0] <= self._loop.time():
            self._read(self._delayed.popleft()[1])
        if self._delayed:
            self._loop.call_at(self._delayed[0][0], self._read_delayed)

    def send_frame(self, channel: int, body: bytes, kind: int = 0) -> None:
        """Send a frame with the others of this turn of the loop; nothing after the connection was lost."""
        self._write(_FRAME_HEADER.pack(len(body) + 8, 2, kind, channel) + body)

    def close(self, error: AmqpError | None = None) -> None:
        """Say goodbye and close."""
        self.send_frame(0, performative(CLOSE, [] if error is None else [error.as_described()]))
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Cut the connection with nothing said, what waits to be sent included."""
        self._unsent.clear()
        if self._transport is not None:
            self._transport.abort()

    def _write(self, raw: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(raw)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if unsent and self._transport is not None:
            self._transport.write(b"".join(unsent))

    def _read(self, arrived: bytes) -> None:
        self._unread += arrived
        try:
            self._read_whole_frames()
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error, RecursionError) as error:
            log.warning("amqp_unreadable: %s", type(error).__name__)
            self.close(AmqpError("amqp:decode-error", "The peer sent what is not AMQP 1.0."))

    def _read_whole_frames(self) -> None:
        unread, at = self._unread, 0
        while len(unread) - at >= _FRAME_HEADER.size:
            if self._expects_header:
                self._answer_header(bytes(unread[at : at + 8]))
                at += 8
                continue
            size, offset, _kind, channel = _FRAME_HEADER.unpack_from(unread, at)
            if not _FRAME_HEADER.size <= offset * 4 <= size <= _FRAME_SIZE:
                raise ValueError("a frame of an impossible size")
            if len(unread) - at < size:
                break
            frame = bytes(unread[at + offset * 4 : at + size])
            at += size
            if frame:
                self._act(channel, frame)
        del unread[:at]

    def _answer_header(self, header: bytes) -> None:
        self._expects_header = False
        if header == _SASL_HEADER and self._offers_sasl:
            mechanisms = performative(SASL_MECHANISMS, [Array(map(Symbol, _MECHANISMS))])
            self._write(_SASL_HEADER)
            self.send_frame(0, mechanisms, kind=1)
            return
        self._write(_AMQP_HEADER)
        if header != _AMQP_HEADER:
            raise ValueError("an unknown protocol header")

    def _act(self, channel: int, frame: bytes) -> None:
        performed, at = decode(frame)
        code, fields = int(performed.descriptor), performed.value
        if code == SASL_INIT:
            self.send_frame(0, performative(SASL_OUTCOME, [UByte(0)]), kind=1)
            self._expects_header, self._offers_sasl = True, False
        elif code == OPEN:
            self._open(padded(fields, 3))
        elif code == CLOSE:
            self.close()
        elif not self.is_open:
            return  # it was refused, and is yet to say goodbye
        elif code == BEGIN:
            self.sessions[channel] = Session(self, channel, fields)
        elif channel in self.sessions:
            self.sessions[channel].handle(code, fields, frame[at:])

    def _open(self, fields: list[Any]) -> None:
        self.max_frame_size = min(int(fields[2] or _FRAME_SIZE), _FRAME_SIZE)
        answer = ["zekt-sandbox", None, UInt(_FRAME_SIZE), UShort(_CHANNELS), UInt(_IDLE_TIMEOUT_MS)]
        self.send_frame(0, performative(OPEN, answer))
        try:
            self.broker.admit(self)
        except AmqpError as refusal:
            self.send_frame(0, performative(CLOSE, [refusal.as_described()]))
        else:
            self.is_open = True
