"""The port of the bus: topics with addressed subscriptions, locks, scheduled copies and dead letters."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from zekt_common.envelope import Envelope

EVERYONE = "*"


class OutgoingMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message for a topic: to every subscription, or to the one that `to` names.

    `message_id` is what duplicate detection compares; it defaults to the envelope's id.
    """

    envelope: Envelope
    to: str = EVERYONE
    message_id: str = ""
    attempt: int = 1
    not_before: datetime | None = None


class ReceivedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message under lock; `body` is the encoded envelope, decoded by the consumer, since it may be garbage."""

    message_id: str
    attempt: int
    body: bytes
    lock: str
    locked_until: datetime
    sequence: int


class Receiver(Protocol):
    """One subscription's receiving end; settling needs the message's lock.

    While a broker is out of reach `receive` waits it out, and every other call raises BackendUnavailable.
    """

    async def receive(self, max_messages: int, /, *, timeout_s: float) -> list[ReceivedMessage]:
        """Lock and return up to `max_messages`, oldest first; none after `timeout_s`.

        Those that became due at once may come in any order, and what is there may come in several calls.
        """
        ...

    async def complete(self, message: ReceivedMessage, /) -> None:
        """Settle the message for good.

        Raises:
            LockLost: the lock has expired or passed on.
        """
        ...

    async def retry(self, message: ReceivedMessage, /, *, after_s: float) -> None:
        """Replace the message by a copy for this subscription alone, `attempt` one higher, due in `after_s`.

        The copy's message id is `{id}~{subscription}~r{attempt}` after the message id as published, so that the
        retries of a replay are not taken for those of the original.

        Raises:
            LockLost: the lock has expired or passed on.
        """
        ...

    async def dead_letter(self, message: ReceivedMessage, reason: str, /) -> None:
        """Move the message to the subscription's dead letters, with the reason.

        Raises:
            LockLost: the lock has expired or passed on.
        """
        ...

    async def renew(self, message: ReceivedMessage, /) -> datetime:
        """Extend the lock by the subscription's lock duration and return its new end.

        Raises:
            LockLost: the lock has expired or passed on.
        """
        ...

    async def release(self, messages: Sequence[ReceivedMessage], /) -> None:
        """Give the locks back at once, leaving `attempt` as it is; lost locks are ignored."""
        ...

    async def unsettled(self, subjects: Collection[str], /) -> set[str]:
        """Return those of `subjects` with a message that is waiting, locked or scheduled in this subscription."""
        ...

    async def is_empty(self) -> bool:
        """Return whether no message is waiting, locked or scheduled in this subscription."""
        ...

    async def backlog(self) -> int:
        """Return how many messages are waiting or locked; an engine may stop at 1,000, and may add the scheduled."""
        ...


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was given up, with the reason and the time."""

    sequence: int
    topic: str
    subscription: str
    message_id: str
    attempt: int
    reason: str
    at: datetime
    body: bytes


class Bus(Protocol):
    """Topics and subscriptions as the topology declares them."""

    async def publish(self, topic: str, messages: Sequence[OutgoingMessage], /) -> None:
        """Put every message into each subscription it is addressed to; durably from the next `sync` on.

        A message id seen on this topic within the duplicate-detection window is dropped. What is refused is refused
        whole; after any other error some may have been put there, and publishing all of them again is harmless.

        Raises:
            UnknownSubscription: no such topic, or a message is addressed to an unknown subscription.
            MessageTooLarge: an encoded message is over 256 KB.
            BackendUnavailable: the broker is out of reach, refuses us or is overloaded.
        """
        ...

    async def sync(self) -> None:
        """Return once what was published before would survive the loss of power."""
        ...

    def subscribe(self, topic: str, subscription: str, /) -> Receiver:
        """Return the receiving end of one subscription.

        Raises:
            UnknownSubscription: the topology has no such subscription.
        """
        ...

    async def dead_letters(self, topic: str, subscription: str, /, *, limit: int = 100) -> list[DeadLetter]:
        """Return the subscription's dead letters, oldest first."""
        ...
