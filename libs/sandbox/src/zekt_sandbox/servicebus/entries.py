"""What a queue holds: messages with their place and state, and the locks on them."""

import enum
import uuid
from dataclasses import dataclass
from typing import Any

from zekt_sandbox.servicebus.amqp.types import Int, Symbol, Timestamp
from zekt_sandbox.servicebus.message import Message

_SEQUENCE_NUMBER = Symbol("x-opt-sequence-number")
_ENQUEUED_TIME = Symbol("x-opt-enqueued-time")
_ENQUEUED_SEQUENCE_NUMBER = Symbol("x-opt-enqueue-sequence-number")
_STATE = Symbol("x-opt-message-state")
_LOCKED_UNTIL = Symbol("x-opt-locked-until")


class State(enum.IntEnum):
    """Where a message stands, as the wire numbers it."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


@dataclass(slots=True, eq=False)
class Entry:
    """A message in a queue; times are Unix seconds."""

    message: Message
    sequence_number: int
    enqueued_at: float
    expires_at: float | None = None
    enqueued_sequence_number: int | None = None
    state: State = State.ACTIVE
    delivery_count: int = 0
    lock: "Lock | None" = None

    def encode(self, locked_until: float | None = None) -> bytes:
        """The message as a receiver gets it."""
        annotations: dict[Any, Any] = {
            _SEQUENCE_NUMBER: self.sequence_number,
            _ENQUEUED_TIME: Timestamp.of(self.enqueued_at),
            _STATE: Int(self.state),
        }
        if self.enqueued_sequence_number is not None:
            annotations[_ENQUEUED_SEQUENCE_NUMBER] = self.enqueued_sequence_number
        if locked_until is not None:
            annotations[_LOCKED_UNTIL] = Timestamp.of(locked_until)
        return self.message.encode(self.delivery_count, annotations)


@dataclass(slots=True, eq=False)
class Lock:
    """One receiver's right to settle an entry, until it expires."""

    token: uuid.UUID
    entry: Entry
    expires_at: float


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages a subscription holds, by state; the locked ones are not among the active."""

    active: int
    locked: int
    scheduled: int
    deferred: int
    dead_lettered: int
