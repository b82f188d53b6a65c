"""Given events, when a command, then events."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from zekt_common.contracts import identity as contract
from zekt_common.contracts.identity import REPOSITORY_LIMITS
from zekt_common.envelope import Event
from zekt_identity.account import (
    Account,
    AccountChanged,
    AccountLeft,
    AccountOpened,
    Command,
    ContactMissing,
    EndSessions,
    Kind,
    Leave,
    Link,
    NotLinked,
    Open,
    Order,
    Persona,
    PersonaCannotNarrow,
    PersonLinked,
    SessionsRevoked,
    Sku,
    TermsChanged,
    decide,
    evolve,
    key_of,
)

AT = datetime(2026, 5, 1, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
ME = 4_242


def order(at: datetime = AT) -> Order:
    return Order(account_id=ME, actor=str(ME), origin="203.0.113.0/24", at=at)


def by(at: datetime = AT) -> dict[str, Any]:
    return {"account_id": ME, "actor": str(ME), "origin": "203.0.113.0/24", "at": at}


def opening(persona: Persona = Persona.PROVIDER, contact: bytes | None = b"sealed", **changes: Any) -> Open:
    fields: dict[str, Any] = {"order": order(), "persona": persona, "sku": Sku.FREE, "kind": Kind.INDIVIDUAL}
    return Open(**(fields | changes), contact=contact)


LINKED = PersonLinked(**by(), tenure=1, key=key_of(ME, 1))
OPENED = AccountOpened(**by(), persona=Persona.PROVIDER, sku=Sku.FREE, kind=Kind.INDIVIDUAL, contact=b"sealed")
LEFT = AccountLeft(**by(), key=key_of(ME, 1))


def changed(**fields: Any) -> AccountChanged:
    return AccountChanged(**by(), **({"kind": None, "contact": None} | fields))


def terms(persona: Persona = Persona.PROVIDER, sku: Sku = Sku.FREE) -> TermsChanged:
    return TermsChanged(**by(), persona=persona, sku=sku)


def given(*events: Event) -> Account:
    account = Account()
    for event in events:
        account = evolve(account, event)
    return account


@pytest.mark.parametrize(
    ("before", "command", "then"),
    [
        ([], Link(order()), [LINKED]),
        ([LINKED], Link(order()), []),
        ([LINKED], opening(), [OPENED]),
        ([LINKED, OPENED], opening(contact=None), []),
        ([LINKED, OPENED], opening(Persona.BOTH, contact=None), [terms(Persona.BOTH)]),
        ([LINKED, OPENED], opening(contact=b"new"), [changed(contact=b"new")]),
        ([LINKED, OPENED], opening(contact=None, sku=Sku.STANDARD), [terms(sku=Sku.STANDARD)]),
        (
            [LINKED, OPENED],
            opening(Persona.BOTH, contact=b"new", kind=Kind.COMPANY),
            [terms(Persona.BOTH), changed(kind=Kind.COMPANY, contact=b"new")],
        ),
        ([LINKED, OPENED, terms(sku=Sku.STANDARD)], opening(contact=None, sku=Sku.STANDARD), []),
        ([LINKED], EndSessions(order=order(), reason="x"), [SessionsRevoked(**by(), reason="x")]),
        ([], EndSessions(order=order(), reason="x"), []),
        ([LINKED, OPENED], Leave(order()), [LEFT]),
        ([LINKED], Leave(order()), [LEFT]),
        ([], Leave(order()), []),
        ([LINKED, OPENED, LEFT], Leave(order()), []),
        ([LINKED, OPENED, LEFT], EndSessions(order=order(), reason="x"), []),
    ],
)
def test_a_command_leads_to_events(before: Sequence[Event], command: Command, then: Sequence[Event]) -> None:
    assert decide(given(*before), command) == list(then)


@pytest.mark.parametrize("persona", [Persona.PROVIDER, Persona.CONSUMER])
def test_an_account_that_is_both_stays_both(persona: Persona) -> None:
    account = given(LINKED, OPENED, terms(Persona.BOTH))
    with pytest.raises(PersonaCannotNarrow):
        decide(account, opening(persona))


def test_what_was_changed_before_terms_had_an_event_of_their_own_still_counts() -> None:
    account = given(LINKED, OPENED, changed(persona=Persona.BOTH, sku=Sku.STANDARD))
    assert (account.persona, account.sku) == (Persona.BOTH, Sku.STANDARD)


def test_accounts_know_the_skus_and_personas_that_are_published() -> None:
    assert [sku.value for sku in Sku] == list(REPOSITORY_LIMITS)
    assert {persona.value for persona in Persona} == set(get_args(contract.Persona))


def test_no_persona_turns_into_the_other() -> None:
    with pytest.raises(PersonaCannotNarrow):
        decide(given(LINKED, OPENED), opening(Persona.CONSUMER))


@pytest.mark.parametrize("before", [[], [LINKED, OPENED, LEFT]])
def test_only_a_person_who_signed_in_opens_an_account(before: Sequence[Event]) -> None:
    with pytest.raises(NotLinked):
        decide(given(*before), opening())


def test_an_account_opens_with_contact_details() -> None:
    with pytest.raises(ContactMissing):
        decide(given(LINKED), opening(contact=None))


def test_whoever_comes_back_has_a_new_key_and_nothing_of_before() -> None:
    [linked] = decide(given(LINKED, OPENED, LEFT), Link(order(LATER)))
    assert linked == PersonLinked(**by(LATER), tenure=2, key=key_of(ME, 2))
    account = given(LINKED, OPENED, LEFT, linked)
    assert (account.persona, account.contact, account.sessions_end) == (None, None, AT)


def test_personal_keys_are_never_those_of_payloads_or_of_another_tenure() -> None:
    keys = [key_of(account_id, tenure) for account_id in (1, 2, 3 * 10**8) for tenure in (1, 2)]
    assert len(set(keys)) == len(keys)
    assert all(-(2**53) < key < -1 for key in keys)
