"""An installation of the App, stream `installation/{id}`: observed again and again, stored when it has changed.

A webhook says that something has changed, GitHub's API what is so now. An observation counts only if it was asked for
after the one before, so that neither order nor repetition matters.
"""

from datetime import datetime
from typing import ClassVar, Final

import msgspec

from zekt_common.contracts.identity import InstallationStatus
from zekt_common.decider import Decider
from zekt_common.envelope import Event
from zekt_common.schemas import Schemas
from zekt_identity.identity_event import IdentityEvent

GITHUB: Final = "github"
"""The actor of what was learnt from GitHub, whoever did it there."""


class InstallationFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know of an installation."""

    installation_id: int
    account_id: int
    login: str
    status: InstallationStatus


class Observe(msgspec.Struct, frozen=True):
    """Take what GitHub says, asked at `asked_at`."""

    facts: InstallationFacts
    asked_at: datetime


class InstallationObserved(IdentityEvent, frozen=True, kw_only=True):
    """The installation is new, or different from before; `at` is when GitHub was asked."""

    TYPE: ClassVar[str] = "dev.zekt.installation.observed"

    facts: InstallationFacts


INSTALLATION_SCHEMAS: Final = Schemas([InstallationObserved])


class Installation(msgspec.Struct, frozen=True):
    """The newest that is known, and when it was asked for."""

    facts: InstallationFacts | None = None
    asked_at: datetime | None = None


def stream_of(installation_id: int) -> str:
    """Return the name of the installation's stream."""
    return f"installation/{installation_id}"


def decide(known: Installation, command: Observe) -> list[Event]:
    """Return an event if the installation is not as known."""
    facts = command.facts
    if known.asked_at is not None and command.asked_at <= known.asked_at:
        return []
    if facts == known.facts:
        return []
    return [
        InstallationObserved(account_id=facts.account_id, actor=GITHUB, origin=GITHUB, at=command.asked_at, facts=facts)
    ]


def evolve(known: Installation, event: Event) -> Installation:
    """Return what is known after the event."""
    return Installation(event.facts, event.at) if isinstance(event, InstallationObserved) else known


INSTALLATION: Final[Decider[Installation, Observe]] = Decider(Installation(), decide, evolve, INSTALLATION_SCHEMAS)
