"""Load, fold, decide, append: the one way a command becomes stored events."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from zekt_common.envelope import Envelope, Event, NewEvent
from zekt_common.errors import StreamConflict
from zekt_common.ports.event_store import EventStore
from zekt_common.schemas import Schemas

ATTEMPTS = 3

State = TypeVar("State")
Command = TypeVar("Command")


class Decider(msgspec.Struct, Generic[State, Command], frozen=True):
    """An aggregate: its first state, its pure functions and the event types of its streams."""

    initial: State
    decide: Callable[[State, Command], Sequence[Event]]
    evolve: Callable[[State, Event], State]
    schemas: Schemas


class Outcome(msgspec.Struct, Generic[State], frozen=True):
    """What a transaction left behind: the state and version after it, and the events it appended."""

    state: State
    version: int
    appended: list[Envelope]


async def load(store: EventStore, decider: Decider[State, Command], stream: str) -> tuple[State, int]:
    """Return the stream's present state and version."""
    return fold(decider, await store.read(stream))


def fold(
    decider: Decider[State, Command], events: Sequence[Envelope], state: State | None = None, version: int = 0
) -> tuple[State, int]:
    """Return the state and version after `events`, from the initial state or from `state` at `version`."""
    current = decider.initial if state is None else state
    for envelope in events:
        current = decider.evolve(current, decider.schemas.decode(envelope))
        version = envelope.version
    return current, version


async def transact(
    store: EventStore,
    decider: Decider[State, Command],
    stream: str,
    command: Command,
    wrap: Callable[[Sequence[Event]], Sequence[NewEvent]],
) -> Outcome[State]:
    """Decide `command` on the stream's present state and append what comes of it.

    `wrap` gives the decided bodies their subject, correlation and cause. The loser of a race decides again.

    Raises:
        StreamConflict: the race was lost three times.
    """
    return await _again(lambda: _once(store, decider, stream, command, wrap))


async def _once(
    store: EventStore,
    decider: Decider[State, Command],
    stream: str,
    command: Command,
    wrap: Callable[[Sequence[Event]], Sequence[NewEvent]],
) -> Outcome[State]:
    state, version = await load(store, decider, stream)
    decided = decider.decide(state, command)
    if not decided:
        return Outcome(state, version, [])
    appended = await store.append(stream, wrap(decided), expected_version=version)
    for body in decided:
        state = decider.evolve(state, body)
    return Outcome(state, appended[-1].version, appended)


async def _again(attempt: Callable[[], Awaitable[Outcome[State]]]) -> Outcome[State]:
    for _ in range(ATTEMPTS - 1):
        try:
            return await attempt()
        except StreamConflict:
            continue
    return await attempt()
