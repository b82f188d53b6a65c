"""A session, stream `session/{id}`: it begins once, with a sign-in, and ends once at most, before its time."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final, Literal, TypeAlias, assert_never

import msgspec

from zekt_common.decider import Decider
from zekt_common.envelope import Event
from zekt_common.errors import ZektError
from zekt_common.schemas import Schemas
from zekt_identity.identity_event import IdentityEvent

SESSION_LIFE: Final = timedelta(hours=12)
"""After this a person signs in again, however often the token was renewed."""
TOLD_ON: Final = timedelta(minutes=1)
"""What has ended is told for that much longer than its tokens live, since clocks differ and some leeway is given."""

SignInMethod: TypeAlias = Literal["browser", "device"]


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """Begin the session, which is over at `ends_at` at the latest."""

    account_id: int
    origin: str
    at: datetime
    method: SignInMethod
    ends_at: datetime


class End(msgspec.Struct, frozen=True, kw_only=True):
    """End the session now."""

    origin: str
    at: datetime


Command: TypeAlias = Begin | End


class SessionBegun(IdentityEvent, frozen=True, kw_only=True):
    """The person has signed in."""

    TYPE: ClassVar[str] = "dev.zekt.session.begun"

    session_id: str
    method: SignInMethod
    ends_at: datetime


class SessionEnded(IdentityEvent, frozen=True, kw_only=True):
    """The person has signed out; until `ends_at` there may be tokens of the session about."""

    TYPE: ClassVar[str] = "dev.zekt.session.ended"

    session_id: str
    ends_at: datetime


SESSION_SCHEMAS: Final = Schemas([SessionBegun, SessionEnded])


class Status(StrEnum):
    """Where the session is in its life."""

    ABSENT = "absent"
    OPEN = "open"
    ENDED = "ended"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know for a decision."""

    status: Status = Status.ABSENT
    account_id: int = 0
    ends_at: datetime | None = None


class SessionSpent(ZektError):
    """There has been a session of this id: the sign-in that it is named for was used before."""


def stream_of(session_id: str) -> str:
    """Return the name of the session's stream."""
    return f"session/{session_id}"


def decider_of(session_id: str) -> Decider[State, Command]:
    """Return the aggregate of the session of this id."""

    def decide(state: State, command: Command) -> list[Event]:
        match command:
            case Begin() if state.status is Status.ABSENT:
                fields: dict[str, Any] = msgspec.structs.asdict(command)
                return [SessionBegun(**fields, actor=str(command.account_id), session_id=session_id)]
            case Begin():
                raise SessionSpent("the sign-in was used before")
            case End():
                return _end(state, session_id, command)
            case _:
                assert_never(command)

    return Decider(State(), decide, evolve, SESSION_SCHEMAS)


def evolve(state: State, event: Event) -> State:
    """Return the session after the event."""
    match event:
        case SessionBegun():
            return State(status=Status.OPEN, account_id=event.account_id, ends_at=event.ends_at)
        case SessionEnded():
            return msgspec.structs.replace(state, status=Status.ENDED)
        case _:
            return state


def _end(state: State, session_id: str, command: End) -> list[Event]:
    if state.status is not Status.OPEN or state.ends_at is None or state.ends_at <= command.at:
        return []
    return [
        SessionEnded(
            account_id=state.account_id,
            actor=str(state.account_id),
            origin=command.origin,
            at=command.at,
            session_id=session_id,
            ends_at=state.ends_at,
        )
    ]
