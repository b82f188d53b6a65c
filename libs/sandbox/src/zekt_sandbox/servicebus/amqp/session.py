"""A session: windows, deliveries and what arrives for its links."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zekt_sandbox.servicebus.amqp.link import Incoming, Link
from zekt_sandbox.servicebus.amqp.node import Node
from zekt_sandbox.servicebus.amqp.performatives import (
    ACCEPTED,
    ATTACH,
    BEGIN,
    DETACH,
    DISPOSITION,
    END,
    FLOW,
    TRANSFER,
    AmqpError,
    outcome,
    padded,
    performative,
    rejection,
)
from zekt_sandbox.servicebus.amqp.types import Described, UInt, UShort

if TYPE_CHECKING:
    from zekt_sandbox.servicebus.amqp.connection import Connection

_WINDOW, _HANDLES = 5000, 255
_LOW_CREDIT = 500
_SERIAL = 0xFFFFFFFF


class Session:
    """One session of a connection, begun by the peer."""

    def __init__(self, connection: "Connection", channel: int, begin: list[Any]) -> None:
        self.connection = connection
        self.links: dict[int, Link] = {}
        self._channel = channel
        self._unsettled: dict[int, tuple[Link, Any]] = {}
        self._next_outgoing, self._next_incoming = 1, int(begin[1])
        self._outgoing_window, self._incoming_window = int(begin[2]), _WINDOW
        self._handlers: dict[int, Callable[[list[Any], bytes], None]] = {
            ATTACH: self._on_attach,
            FLOW: self._on_flow,
            TRANSFER: self._on_transfer,
            DISPOSITION: self._on_disposition,
            DETACH: self._on_detach,
            END: self._on_end,
        }
        answer = [UShort(channel), UInt(self._next_outgoing), UInt(_WINDOW), UInt(_WINDOW), UInt(_HANDLES)]
        self.send(performative(BEGIN, answer))

    @property
    def can_send(self) -> bool:
        """Whether the peer's window and its socket take more."""
        return self._outgoing_window > 0 and not self.connection.is_paused

    @property
    def room(self) -> int:
        """How many bytes of a message fit into a frame."""
        return self.connection.max_frame_size - 64

    def handle(self, code: int, fields: list[Any], payload: bytes) -> None:
        """Act on a performative of the peer."""
        handler = self._handlers.get(code)
        if handler is not None:
            handler(fields, payload)

    def send(self, body: bytes) -> None:
        """Send a frame on this session's channel."""
        self.connection.send_frame(self._channel, body)

    def send_transfer(self, body: bytes) -> None:
        """Send a frame that counts against the peer's window."""
        self._outgoing_window -= 1
        self.send(body)

    def send_flow(self, link: Link | None = None, *, drained: bool = False) -> None:
        """Tell the peer of the session's windows and, where one is named, of a link's credit."""
        fields = [UInt(self._next_incoming), UInt(self._incoming_window), UInt(self._next_outgoing), UInt(_WINDOW)]
        if link is not None:
            fields += [UInt(link.handle), UInt(link.delivery_count), UInt(link.credit), UInt(0)]
        self.send(performative(FLOW, [*fields, True] if drained else fields))

    def next_delivery(self, unsettled: tuple[Link, Any] | None) -> int:
        """Number a delivery, and remember whose it is until it is settled."""
        delivery_id = self._next_outgoing
        self._next_outgoing = (delivery_id + 1) & _SERIAL
        if unsettled is not None:
            self._unsettled[delivery_id] = unsettled
        return delivery_id

    def closed(self) -> None:
        """Note that the session is gone, and its links with it."""
        for link in list(self.links.values()):
            link.closed()
        self.links.clear()
        self._unsettled.clear()

    def offer_credit(self) -> None:
        """Let every link's node send what it may."""
        for link in list(self.links.values()):
            if link.sends and link.node is not None and not link.is_closed:
                link.node.on_credit(link)

    def _on_attach(self, fields: list[Any], _: bytes) -> None:
        link = Link(self, fields)
        self.links[link.handle] = link
        try:
            self.connection.broker.attach(link)
        except AmqpError as error:
            link.refuse(error)

    def _on_detach(self, fields: list[Any], _: bytes) -> None:
        link = self.links.pop(int(fields[0]), None)
        if link is None or link.is_closed:
            return
        self.send(performative(DETACH, [UInt(link.handle), True]))
        link.closed()
        self._unsettled = {number: each for number, each in self._unsettled.items() if each[0] is not link}

    def _on_end(self, _fields: list[Any], _payload: bytes) -> None:
        self.closed()
        self.send(performative(END, []))
        self.connection.sessions.pop(self._channel, None)

    def _on_transfer(self, fields: list[Any], payload: bytes) -> None:
        self._count_incoming()
        fields = padded(fields, 6)
        link = self.links.get(int(fields[0]))
        if link is None or link.node is None or link.is_closed:
            return
        whole = link.collect(fields, payload, link.node.max_message_size)
        if whole is not None:
            self._take(link, link.node, whole)

    def _take(self, link: Link, node: Node, incoming: Incoming) -> None:
        link.delivery_count = (link.delivery_count + 1) & _SERIAL
        link.credit -= 1
        state = outcome(ACCEPTED)
        try:
            _check_size(incoming, node)
            node.on_message(link, incoming.payload, incoming.message_format)
        except AmqpError as error:
            state = rejection(error)
        if not incoming.is_settled:
            self.send(performative(DISPOSITION, [True, UInt(incoming.delivery_id), None, True, state]))
        if link.credit < _LOW_CREDIT:
            link.grant(_LOW_CREDIT)

    def _count_incoming(self) -> None:
        self._next_incoming = (self._next_incoming + 1) & _SERIAL
        self._incoming_window -= 1
        if self._incoming_window < _WINDOW // 2:
            self._incoming_window = _WINDOW
            self.send_flow()

    def _on_disposition(self, fields: list[Any], _: bytes) -> None:
        is_receiver, first, last, settled, state, _batchable = padded(fields, 6)
        if not is_receiver or state is None:
            return
        for delivery_id in range(int(first), int(first if last is None else last) + 1):
            known = self._unsettled.pop(delivery_id, None)
            if known is not None:
                self._settle(delivery_id, *known, state, answer=not settled)

    def _settle(self, delivery_id: int, link: Link, context: Any, state: Described, *, answer: bool) -> None:
        assert link.node is not None  # noqa: S101 - it was what sent the delivery
        reply = link.node.on_disposition(context, state)
        if answer:
            self.send(performative(DISPOSITION, [False, UInt(delivery_id), None, True, reply]))

    def _on_flow(self, fields: list[Any], _: bytes) -> None:
        next_incoming, window, _1, _2, handle, count, credit, _available, drain, echo, _properties = padded(fields, 11)
        received = 1 if next_incoming is None else int(next_incoming)
        self._outgoing_window = (received + int(window) - self._next_outgoing) & _SERIAL
        if handle is None:
            if echo:
                self.send_flow()
            self.offer_credit()
            return
        link = self.links.get(int(handle))
        if link is not None and link.sends and link.node is not None:
            link.credit = int(count or 0) + int(credit or 0) - link.delivery_count
            link.node.on_credit(link)
            self._answer_flow(link, drain=bool(drain), echo=bool(echo))

    def _answer_flow(self, link: Link, *, drain: bool, echo: bool) -> None:
        if drain and link.credit > 0:
            link.delivery_count = (link.delivery_count + link.credit) & _SERIAL
            link.credit = 0
            self.send_flow(link, drained=True)
        elif echo:
            self.send_flow(link)


def _check_size(incoming: Incoming, node: Node) -> None:
    if incoming.size_bytes > node.max_message_size:
        raise AmqpError(
            "amqp:link:message-size-exceeded",
            f"The received message (delivery-id:{incoming.delivery_id}, size:{incoming.size_bytes} bytes) exceeds the"
            f" limit ({node.max_message_size} bytes) currently allowed on the link.",
        )
