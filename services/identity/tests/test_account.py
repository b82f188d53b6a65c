"""Given events, when a command, then events."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import msgspec
import pytest

from zekt_common.contracts import identity as contract
from zekt_common.contracts.identity import REPOSITORY_LIMITS
from zekt_common.envelope import Event
from zekt_identity.account import (
    MOST_TENURES,
    Account,
    AccountChanged,
    AccountLeft,
    AccountOpened,
    Command,
    EndSessions,
    GiveSku,
    Leave,
    Link,
    NotLinked,
    Open,
    OpeningIncomplete,
    Order,
    PersonLinked,
    SessionsRevoked,
    SkuGiven,
    Status,
    TenuresSpent,
    TermsChanged,
    decide,
    evolve,
    key_of,
)
from zekt_identity.account_terms import Kind, Persona, PersonaCannotNarrow, Sku, SkuBeyond

AT = datetime(2026, 5, 1, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
ME = 4_242


def order(at: datetime = AT) -> Order:
    return Order(account_id=ME, actor=str(ME), origin="203.0.113.0/24", at=at)


def by(at: datetime = AT) -> dict[str, Any]:
    return {"account_id": ME, "actor": str(ME), "origin": "203.0.113.0/24", "at": at}


def opening(persona: Persona | None = Persona.PROVIDER, contact: bytes | None = b"sealed", **changes: Any) -> Open:
    """Return what the owner orders where accounts are standard unless an operator says otherwise."""
    fields: dict[str, Any] = {"order": order(), "default_sku": Sku.STANDARD, "kind": Kind.INDIVIDUAL}
    return Open(**(fields | changes), persona=persona, contact=contact)


def test_no_tenures_key_is_another_accounts() -> None:
    """The number of a tenure has sixteen bits of a key's, and the account's id the rest."""
    assert key_of(2, MOST_TENURES + 2) == key_of(3, 1)
    last = Account(status=Status.LEFT, tenure=MOST_TENURES)
    with pytest.raises(TenuresSpent):
        decide(last, Link(order()))
    [linked] = decide(msgspec.structs.replace(last, tenure=MOST_TENURES - 1), Link(order()))
    assert isinstance(linked, PersonLinked)
    assert key_of(ME + 1, 0) < linked.key < key_of(ME, 0)


def giving(sku: Sku) -> GiveSku:
    return GiveSku(order=order(), sku=sku)


def given_sku(sku: Sku, persona: Persona | None = Persona.PROVIDER) -> SkuGiven:
    return SkuGiven(**by(), persona=persona, sku=sku)


LINKED = PersonLinked(**by(), tenure=1, key=key_of(ME, 1))


def opened(sku: Sku) -> AccountOpened:
    return AccountOpened(**by(), persona=Persona.PROVIDER, sku=sku, kind=Kind.INDIVIDUAL, contact=b"sealed")


OPENED = opened(Sku.STANDARD)
LEFT = AccountLeft(**by(), key=key_of(ME, 1))


def changed(**fields: Any) -> AccountChanged:
    return AccountChanged(**by(), **({"kind": None, "contact": None} | fields))


def terms(persona: Persona = Persona.PROVIDER, sku: Sku = Sku.STANDARD) -> TermsChanged:
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
        ([LINKED, OPENED], opening(None, contact=None, kind=None), []),
        ([LINKED, OPENED], opening(contact=None, sku=Sku.STANDARD), []),
        ([LINKED, OPENED], opening(contact=None, sku=Sku.FREE), [terms(sku=Sku.FREE)]),
        ([LINKED, OPENED, terms(sku=Sku.FREE)], opening(contact=None), []),
        ([LINKED, OPENED, terms(sku=Sku.FREE)], opening(contact=None, sku=Sku.STANDARD), [terms(sku=Sku.STANDARD)]),
        ([LINKED, OPENED], giving(Sku.ENTERPRISE), [given_sku(Sku.ENTERPRISE)]),
        ([LINKED, OPENED, given_sku(Sku.ENTERPRISE)], giving(Sku.ENTERPRISE), []),
        ([LINKED, OPENED], giving(Sku.STANDARD), [given_sku(Sku.STANDARD)]),
        ([LINKED], giving(Sku.FREE), [given_sku(Sku.FREE, None)]),
        ([LINKED, given_sku(Sku.FREE, None)], giving(Sku.FREE), []),
        ([LINKED, given_sku(Sku.ENTERPRISE, None)], opening(), [opened(Sku.ENTERPRISE)]),
        ([LINKED], opening(sku=Sku.FREE), [opened(Sku.FREE)]),
        ([LINKED], opening(default_sku=Sku.FREE), [opened(Sku.FREE)]),
        (
            [LINKED, OPENED, given_sku(Sku.ENTERPRISE)],
            opening(Persona.BOTH, contact=None),
            [terms(Persona.BOTH, Sku.ENTERPRISE)],
        ),
        (
            [LINKED, OPENED, given_sku(Sku.ENTERPRISE), terms(sku=Sku.FREE)],
            opening(contact=None, sku=Sku.ENTERPRISE),
            [terms(sku=Sku.ENTERPRISE)],
        ),
        (
            [LINKED, OPENED],
            opening(Persona.BOTH, contact=b"new", kind=Kind.COMPANY),
            [terms(Persona.BOTH), changed(kind=Kind.COMPANY, contact=b"new")],
        ),
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


@pytest.mark.parametrize("missing", ["persona", "kind", "contact"])
def test_an_account_opens_with_all_of_its_details(missing: str) -> None:
    with pytest.raises(OpeningIncomplete):
        decide(given(LINKED), msgspec.structs.replace(opening(), **{missing: None}))


@pytest.mark.parametrize(
    ("before", "default", "asked"),
    [
        ([LINKED], Sku.STANDARD, Sku.ENTERPRISE),
        ([LINKED], Sku.FREE, Sku.STANDARD),
        ([LINKED, OPENED], Sku.STANDARD, Sku.ENTERPRISE),
        ([LINKED, OPENED, given_sku(Sku.FREE)], Sku.STANDARD, Sku.STANDARD),
        ([LINKED, given_sku(Sku.FREE, None)], Sku.STANDARD, Sku.STANDARD),
        ([LINKED, OPENED, terms(sku=Sku.ENTERPRISE), terms(sku=Sku.FREE)], Sku.STANDARD, Sku.ENTERPRISE),
        ([LINKED, OPENED, given_sku(Sku.ENTERPRISE), LEFT, LINKED], Sku.STANDARD, Sku.ENTERPRISE),
    ],
)
def test_nobody_has_more_than_the_default_unless_an_operator_gives_it(
    before: Sequence[Event], default: Sku, asked: Sku
) -> None:
    with pytest.raises(SkuBeyond):
        decide(given(*before), opening(default_sku=default, sku=asked))


def test_who_chose_more_before_that_took_an_operator_keeps_it_until_one_says_otherwise() -> None:
    account = given(LINKED, OPENED, terms(sku=Sku.ENTERPRISE))
    assert decide(account, opening(contact=None, sku=Sku.ENTERPRISE)) == []
    assert decide(account, giving(Sku.STANDARD)) == [given_sku(Sku.STANDARD)]


@pytest.mark.parametrize("before", [[], [LINKED, OPENED, LEFT]])
def test_a_sku_is_given_to_somebody_who_is_there(before: Sequence[Event]) -> None:
    with pytest.raises(NotLinked):
        decide(given(*before), giving(Sku.ENTERPRISE))


def test_whoever_comes_back_has_a_new_key_and_nothing_of_before() -> None:
    [linked] = decide(given(LINKED, OPENED, LEFT), Link(order(LATER)))
    assert linked == PersonLinked(**by(LATER), tenure=2, key=key_of(ME, 2))
    account = given(LINKED, OPENED, LEFT, linked)
    assert (account.persona, account.contact, account.sessions_end) == (None, None, AT)


def test_personal_keys_are_never_those_of_payloads_or_of_another_tenure() -> None:
    keys = [key_of(account_id, tenure) for account_id in (1, 2, 3 * 10**8) for tenure in (1, 2)]
    assert len(set(keys)) == len(keys)
    assert all(-(2**53) < key < -1 for key in keys)
