"""Identity's streams: what is decided is appended, and in the views before the caller goes on."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from zekt_common.decider import Decider, Outcome, load, transact
from zekt_common.envelope import Event, NewEvent
from zekt_common.kit.projector import Projector
from zekt_common.ports import EventStore
from zekt_common.telemetry.tracing import current_span
from zekt_identity.identity_event import IdentityEvent

SOURCE: Final = "zekt/identity"

State = TypeVar("State")
Command = TypeVar("Command")


class Ledger:
    """Loads aggregates and executes commands on them."""

    def __init__(self, store: EventStore, projector: Projector) -> None:
        self._store = store
        self._projector = projector

    async def load(self, decider: Decider[State, Any], stream: str) -> State:
        """Return the aggregate as it is now."""
        state, _ = await load(self._store, decider, stream)
        return state

    async def execute(self, decider: Decider[State, Command], stream: str, command: Command) -> Outcome[State]:
        """Decide the command, append what comes of it, and return once it is in this service's views.

        Raises:
            StreamConflict: the race was lost again and again.
        """
        outcome = await transact(self._store, decider, stream, command, lambda bodies: wrap(stream, bodies))
        await self._projector.wait_for_events(outcome.appended)
        return outcome

    async def note(self, stream: str, event: IdentityEvent) -> None:
        """Append the only event of a stream.

        Raises:
            StreamConflict: it is there already.
        """
        await self._store.append(stream, wrap(stream, [event]), expected_version=0)


def wrap(stream: str, bodies: Sequence[Event]) -> list[NewEvent]:
    """Return the events as they are appended: about their account, below the span around."""
    around = current_span()
    return [
        NewEvent(
            body=body,
            source=SOURCE,
            subject=stream,
            correlationid=stream,
            causationid=stream,
            traceparent=around.traceparent if around else None,
            accountid=str(body.account_id) if isinstance(body, IdentityEvent) else None,
        )
        for body in bodies
    ]
