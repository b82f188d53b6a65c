"""Our end of a link."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zekt_sandbox.servicebus.amqp.performatives import (
    ATTACH,
    DETACH,
    SOURCE,
    TARGET,
    TRANSFER,
    AmqpError,
    padded,
    performative,
)
from zekt_sandbox.servicebus.amqp.types import Described, UByte, UInt, ULong

if TYPE_CHECKING:
    from zekt_sandbox.servicebus.amqp.node import Node
    from zekt_sandbox.servicebus.amqp.session import Session

_INCOMING_CREDIT = 1000
_SETTLED_BY_SENDER = 1


@dataclass(slots=True)
class Incoming:
    """A message on its way in, whole once its last transfer has come."""

    delivery_id: int
    message_format: int
    is_settled: bool
    parts: list[bytes] = field(default_factory=list)
    size_bytes: int = 0

    @property
    def payload(self) -> bytes:
        """All that the transfers carried."""
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)


class Link:
    """A link that the peer attached; `sends` says whether messages travel from us to the peer."""

    def __init__(self, session: "Session", attach: list[Any]) -> None:
        fields = padded(attach, 14)
        self.session = session
        self.name, self.handle = fields[0], int(fields[1])
        self.sends = bool(fields[2])
        self._settle_modes = fields[3], fields[4]
        self._source = fields[5].value if fields[5] is not None else []
        self._target = fields[6].value if fields[6] is not None else []
        self.credit = 0
        self.delivery_count = 0
        self.node: Node | None = None
        self.is_closed = False
        self._incoming: Incoming | None = None

    @property
    def address(self) -> str:
        """The broker's end: what is read from, or written to."""
        ends = self._source if self.sends else self._target
        return str(ends[0] or "") if ends else ""

    @property
    def filters(self) -> dict[Any, Any]:
        """What a receiver asks its source to choose by."""
        return padded(self._source, 8)[7] or {}

    @property
    def is_settled_by_sender(self) -> bool:
        """Whether a delivery is done with once it is sent."""
        return bool(self._settle_modes[0] == _SETTLED_BY_SENDER)

    @property
    def can_send(self) -> bool:
        """Whether the peer may be sent a message now."""
        return not self.is_closed and self.credit > 0 and self.session.can_send

    def open(self, node: "Node") -> None:
        """Answer the attach: the link leads to `node`."""
        self.node = node
        self._answer_attach(
            Described(ULong(SOURCE), self._source), Described(ULong(TARGET), self._target), node.max_message_size
        )
        if not self.sends:
            self.grant(_INCOMING_CREDIT)

    def refuse(self, error: AmqpError) -> None:
        """Answer the attach with nothing at our end, and detach."""
        source = None if self.sends else Described(ULong(SOURCE), self._source)
        target = Described(ULong(TARGET), self._target) if self.sends else None
        self._answer_attach(source, target, None)
        self.detach(error)

    def _answer_attach(self, source: Described | None, target: Described | None, max_size: int | None) -> None:
        modes = [None if mode is None else UByte(mode) for mode in self._settle_modes]
        first_count = UInt(0) if self.sends else None
        size = None if max_size is None else ULong(max_size)
        fields = [self.name, UInt(self.handle), not self.sends, *modes, source, target, None, None, first_count, size]
        self.session.send(performative(ATTACH, fields))

    def detach(self, error: AmqpError | None = None) -> None:
        """Close the link from our side."""
        if self.is_closed:
            return
        described = None if error is None else error.as_described()
        self.session.send(performative(DETACH, [UInt(self.handle), True, described]))
        self.closed()

    def closed(self) -> None:
        """Note that the link is gone, whoever ended it."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.node is not None:
            self.node.on_closed(self)

    def grant(self, credit: int) -> None:
        """Let the peer send so many messages more."""
        self.credit += credit
        self.session.send_flow(self)

    def collect(self, transfer: list[Any], payload: bytes, max_size_bytes: int) -> Incoming | None:
        """Add what a transfer carried, unless the message is too large; the message when it was its last transfer."""
        incoming = self._incoming or Incoming(int(transfer[1]), int(transfer[3] or 0), bool(transfer[4]))
        incoming.size_bytes += len(payload)
        if incoming.size_bytes <= max_size_bytes:
            incoming.parts.append(payload)
        is_unfinished = bool(transfer[5])
        self._incoming = incoming if is_unfinished else None
        return None if is_unfinished else incoming

    def transfer(self, payload: bytes, tag: bytes, *, context: Any = None, settled: bool = False) -> None:
        """Send a message, in as many frames as it needs."""
        delivery_id = self.session.next_delivery(None if settled else (self, context))
        self.credit -= 1
        self.delivery_count = (self.delivery_count + 1) & 0xFFFFFFFF
        room = self.session.room
        first = [UInt(self.handle), UInt(delivery_id), tag, UInt(0), settled, len(payload) > room]
        self.session.send_transfer(performative(TRANSFER, first) + payload[:room])
        for at in range(room, len(payload), room):
            following = [UInt(self.handle), None, None, None, None, len(payload) > at + room]
            self.session.send_transfer(performative(TRANSFER, following) + payload[at : at + room])
