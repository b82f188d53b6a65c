"""Given what is known, when GitHub is observed, then what is news: whatever the order, however often."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from zekt_common.envelope import Event
from zekt_identity import installation, repository
from zekt_identity.installation import Installation, InstallationFacts, InstallationObserved
from zekt_identity.repository import Repository, RepositoryFacts, RepositoryObserved, Withdraw

AT = datetime(2026, 5, 1, tzinfo=UTC)
ACTIVE = InstallationFacts(installation_id=72, account_id=7, login="beta", status="active")
SUSPENDED = msgspec.structs.replace(ACTIVE, status="suspended")
COVERED = RepositoryFacts(
    repository_id=101, repository="beta/one", account_id=7, installation_id=72, archived=False, status="covered"
)


def at(minutes: int) -> datetime:
    return AT + timedelta(minutes=minutes)


def observed(*observations: installation.Observe) -> tuple[Installation, list[Event]]:
    known, events = Installation(), list[Event]()
    for observation in observations:
        for event in installation.decide(known, observation):
            events.append(event)
            known = installation.evolve(known, event)
    return known, events


def seen(*commands: repository.Command) -> tuple[Repository, list[Any]]:
    known, events = Repository(), list[Any]()
    for command in commands:
        for event in repository.decide(known, command):
            events.append(event)
            known = repository.evolve(known, event)
    return known, events


def test_what_is_known_already_is_not_stored_again() -> None:
    _, events = observed(installation.Observe(ACTIVE, at(0)), installation.Observe(ACTIVE, at(1)))
    assert events == [
        InstallationObserved(account_id=7, actor="github", origin="github", at=at(0), facts=ACTIVE),
    ]


def test_the_newest_observation_holds_in_every_order() -> None:
    observations = [
        installation.Observe(ACTIVE, at(0)),
        installation.Observe(SUSPENDED, at(1)),
        installation.Observe(msgspec.structs.replace(ACTIVE, login="renamed"), at(2)),
    ]
    for order in itertools.permutations(observations):
        known, _ = observed(*order, *order)
        assert known.facts == observations[-1].facts


def test_a_repository_that_changed_hands_is_not_withdrawn_by_its_old_installation() -> None:
    moved = msgspec.structs.replace(COVERED, installation_id=73, account_id=8, repository="gamma/one")
    known, events = seen(
        repository.Observe(COVERED, at(0)), repository.Observe(moved, at(1)), Withdraw(72, at(2)), Withdraw(72, at(3))
    )
    assert known.facts == moved
    assert [event.moved_from for event in events] == [None, 72]


def test_a_withdrawn_repository_keeps_its_name_and_can_come_back() -> None:
    known, events = seen(
        Withdraw(72, at(0)), repository.Observe(COVERED, at(1)), Withdraw(72, at(2)), Withdraw(72, at(3))
    )
    assert known.facts == msgspec.structs.replace(COVERED, status="withdrawn")
    assert len(events) == 2
    [back] = repository.decide(known, repository.Observe(COVERED, at(4)))
    assert isinstance(back, RepositoryObserved)
