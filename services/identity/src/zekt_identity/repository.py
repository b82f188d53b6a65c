"""A repository that the App sees or has seen, stream `repository/{id}`: observed like an installation.

Its id stays when it is renamed or changes hands; `moved_from` says which installation it has left.
"""

from datetime import datetime
from typing import ClassVar, Final, TypeAlias, assert_never

import msgspec

from zekt_common.contracts.identity import RepositoryStatus
from zekt_common.decider import Decider
from zekt_common.envelope import Event
from zekt_common.schemas import Schemas
from zekt_identity.identity_event import IdentityEvent
from zekt_identity.installation import GITHUB


class RepositoryFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know of a repository that is or was in an installation."""

    repository_id: int
    repository: str
    account_id: int
    installation_id: int
    archived: bool
    status: RepositoryStatus


class Observe(msgspec.Struct, frozen=True):
    """Take what GitHub says, asked at `asked_at`."""

    facts: RepositoryFacts
    asked_at: datetime


class Withdraw(msgspec.Struct, frozen=True):
    """Take it that the repository is not in this installation, asked at `asked_at`; it may be in another."""

    installation_id: int
    asked_at: datetime


Command: TypeAlias = Observe | Withdraw


class RepositoryObserved(IdentityEvent, frozen=True, kw_only=True):
    """The repository is new, or different from before; `at` is when GitHub was asked."""

    TYPE: ClassVar[str] = "dev.zekt.repository.observed"

    facts: RepositoryFacts
    moved_from: int | None


REPOSITORY_SCHEMAS: Final = Schemas([RepositoryObserved])


class Repository(msgspec.Struct, frozen=True):
    """The newest that is known, and when it was asked for."""

    facts: RepositoryFacts | None = None
    asked_at: datetime | None = None


def stream_of(repository_id: int) -> str:
    """Return the name of the repository's stream."""
    return f"repository/{repository_id}"


def decide(known: Repository, command: Command) -> list[Event]:
    """Return an event if the repository is not as known."""
    if known.asked_at is not None and command.asked_at <= known.asked_at:
        return []
    match command:
        case Observe(facts=facts):
            return [] if facts == known.facts else [_observed(known, facts, command.asked_at)]
        case Withdraw(installation_id=installation_id):
            return _withdrawn(known, installation_id, command.asked_at)
        case _:
            assert_never(command)


def evolve(known: Repository, event: Event) -> Repository:
    """Return what is known after the event."""
    return Repository(event.facts, event.at) if isinstance(event, RepositoryObserved) else known


REPOSITORY: Final[Decider[Repository, Command]] = Decider(Repository(), decide, evolve, REPOSITORY_SCHEMAS)


def _withdrawn(known: Repository, installation_id: int, asked_at: datetime) -> list[Event]:
    facts = known.facts
    if facts is None or facts.installation_id != installation_id or facts.status == "withdrawn":
        return []
    return [_observed(known, msgspec.structs.replace(facts, status="withdrawn"), asked_at)]


def _observed(known: Repository, facts: RepositoryFacts, asked_at: datetime) -> Event:
    before = known.facts.installation_id if known.facts else None
    return RepositoryObserved(
        account_id=facts.account_id,
        actor=GITHUB,
        origin=GITHUB,
        at=asked_at,
        facts=facts,
        moved_from=before if before != facts.installation_id else None,
    )
