"""What becomes of a received message: the answers that a handler may give."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from zekt_common.envelope import Envelope


class Complete(msgspec.Struct, frozen=True):
    """The message is done with."""


class Retry(msgspec.Struct, frozen=True):
    """The message shall come again in `after_s` seconds, as the next attempt."""

    after_s: float


class DeadLetter(msgspec.Struct, frozen=True):
    """The message can never succeed; the reason is for whoever reads the dead letters."""

    reason: str


class Release(msgspec.Struct, frozen=True):
    """The message is given back as it is, its attempt unspent; the consumer's own answer, no handler's."""


Settlement = Complete | Retry | DeadLetter
Handler = Callable[[Any, Envelope], Awaitable[Settlement]]
