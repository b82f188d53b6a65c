"""What can be asked of a delivery. Times and random numbers come with the asking, so that deciding is pure."""

from datetime import datetime

import msgspec

from zekt_dispatcher.delivery_events import Category, Order


class BeginAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """Open an attempt, if none is open and the delivery is due."""

    at: datetime
    deadline: datetime


class Postpone(msgspec.Struct, frozen=True, kw_only=True):
    """Note that no attempt can be made now."""

    at: datetime
    category: Category
    reason: str
    jitter: float
    not_before_s: float = 0.0


class Refuse(msgspec.Struct, frozen=True, kw_only=True):
    """Give the delivery up without an attempt."""

    at: datetime
    category: Category
    reason: str


Opening = BeginAttempt | Postpone | Refuse


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Take the order, and with it the first step towards its delivery; without one it is due at once."""

    order: Order
    at: datetime
    event_time: datetime
    then: Opening | None = None


class RecordDispatched(msgspec.Struct, frozen=True, kw_only=True):
    """GitHub has taken the attempt."""

    at: datetime
    attempt: int


class RecordFailure(msgspec.Struct, frozen=True, kw_only=True):
    """GitHub has not taken the attempt; `final` when it never would, `not_before_s` as it asked for."""

    at: datetime
    attempt: int
    category: Category
    reason: str
    jitter: float
    status: int | None = None
    not_before_s: float = 0.0
    final: bool = False


class RecordAmbiguous(msgspec.Struct, frozen=True, kw_only=True):
    """It cannot be known whether GitHub has taken the attempt."""

    at: datetime
    attempt: int
    category: Category
    reason: str
    jitter: float


class ExpireAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """Call the open attempt ambiguous if its deadline has passed."""

    at: datetime
    jitter: float


class Confirm(msgspec.Struct, frozen=True, kw_only=True):
    """The consumer's run has begun."""

    at: datetime
    consumer_run_id: int


class Complete(msgspec.Struct, frozen=True, kw_only=True):
    """The consumer's run has ended."""

    at: datetime
    consumer_run_id: int
    success: bool
    conclusion: str | None = None


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """Have the delivery made once more."""

    at: datetime


Command = (
    Opening | Request | RecordDispatched | RecordFailure | RecordAmbiguous | ExpireAttempt | Confirm | Complete | Replay
)
