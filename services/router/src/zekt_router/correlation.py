"""Which completion a message joins: the first qualifying one of its own or a later attempt, by stored times alone.

A message can join attempt k once every attempt from its own up to k is known, k being the first that qualifies. Where
one in between is unknown, it joins when k's window closes. Whichever of these comes first by the stored times decides,
so that the order in which the router happens to hear of things never does.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from zekt_router.run_model import Completion, Message


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A completed attempt. One that does not qualify has no window."""

    completion: Completion
    window_end: datetime | None = None
    takes_messages: bool = False
    closed: bool = True
    joined_in_time: bool = False

    @property
    def number(self) -> int:
        """Return which attempt of the run this is."""
        return self.completion.run_attempt


class Joining(msgspec.Struct, frozen=True, order=True):
    """A message joins `attempt` at `at`; the earliest of several holds, then the lowest attempt."""

    at: datetime
    attempt: int


def joining(message: Message, attempts: Mapping[int, Attempt], through: datetime | None) -> Joining | None:
    """Return which attempt the message joins, or None while that is open.

    `through` is the time up to which everything stored is known, or None where nothing is known of that.
    """
    at_once = _without_gap(message, attempts)
    first = min([*_at_close(message, attempts.values()), *([at_once] if at_once else [])], default=None)
    if first is None or (at_once is None and (through is None or first.at > through)):
        return None
    return first


def due_at(message: Message, attempts: Mapping[int, Attempt]) -> datetime | None:
    """Return when a message that waits will join what is known now, or None if nothing known qualifies."""
    return min((candidate.at for candidate in _at_close(message, attempts.values())), default=None)


def _without_gap(message: Message, attempts: Mapping[int, Attempt]) -> Joining | None:
    number, at = message.run_attempt, message.received_at
    while (attempt := attempts.get(number)) is not None:
        at = max(at, attempt.completion.received_at)
        if attempt.window_end is not None:
            return Joining(at, number)
        number += 1
    return None


def _at_close(message: Message, attempts: Iterable[Attempt]) -> list[Joining]:
    return [
        Joining(max(message.received_at, attempt.window_end), attempt.number)
        for attempt in attempts
        if attempt.window_end is not None and attempt.number >= message.run_attempt
    ]
