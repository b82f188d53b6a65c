"""What frames carry: performatives, outcomes of deliveries, and errors."""

from typing import Any

from zekt_sandbox.servicebus.amqp.encoding import encode_list
from zekt_sandbox.servicebus.amqp.types import Described, Symbol, ULong

OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE = range(0x10, 0x19)
SASL_MECHANISMS, SASL_INIT, SASL_OUTCOME = 0x40, 0x41, 0x44
ACCEPTED, REJECTED, RELEASED, MODIFIED = 0x24, 0x25, 0x26, 0x27
SOURCE, TARGET = 0x28, 0x29
_ERROR = 0x1D


class AmqpError(Exception):
    """A refusal that the peer is told of: `condition` is a symbol of AMQP's or of the broker's."""

    def __init__(self, condition: str, description: str) -> None:
        super().__init__(condition, description)
        self.condition = condition
        self.description = description

    def as_described(self) -> Described:
        """The error as a frame carries it."""
        # All three fields, always: with fewer the SDK's send waits for ever.
        return Described(ULong(_ERROR), [Symbol(self.condition), self.description, None])


def outcome(code: int, *fields: Any) -> Described:
    """The state that settles a delivery."""
    return Described(ULong(code), list(fields))


def rejection(error: AmqpError) -> Described:
    """The state that refuses a delivery for a reason."""
    return outcome(REJECTED, error.as_described())


def performative(code: int, fields: list[Any]) -> bytes:
    """Encode a described list, without the nulls at its end."""
    count = len(fields)
    while count and fields[count - 1] is None:
        count -= 1
    return b"\x00\x53" + bytes((code,)) + encode_list(fields[:count])


def padded(fields: list[Any], count: int) -> list[Any]:
    """Return as many fields as asked for: those that were left out at the end are null."""
    return fields + [None] * (count - len(fields))
