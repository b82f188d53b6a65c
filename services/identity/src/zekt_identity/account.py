"""An account, stream `account/{GitHub user id}`: a person from sign-in on, with a SKU and a persona once opened.

Personal data is in the events as ciphertext alone. Each tenure, from the first sign-in until leaving, has a data key of
its own, so that whoever comes back starts anew.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final, TypeAlias, assert_never

import msgspec

from zekt_common.decider import Decider
from zekt_common.envelope import Event
from zekt_common.errors import ZektError
from zekt_common.schemas import Schemas
from zekt_identity.account_terms import Kind, Persona, PersonaCannotNarrow, Sku, SkuBeyond
from zekt_identity.identity_event import IdentityEvent

TENURE_BITS: Final = 16
MOST_TENURES: Final = 2**TENURE_BITS - 1


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Who orders it, from where and when: what each command comes with."""

    account_id: int
    actor: str
    origin: str
    at: datetime


class Link(msgspec.Struct, frozen=True):
    """Know this person from now on, if nobody does yet."""

    order: Order


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """Open the account, or have the open one be as given; what is None stays as it is, and `contact` is sealed.

    `default_sku` is what an account has at first, and what its owner may choose up to.
    """

    order: Order
    default_sku: Sku
    persona: Persona | None = None
    sku: Sku | None = None
    kind: Kind | None = None
    contact: bytes | None = None


class GiveSku(msgspec.Struct, frozen=True, kw_only=True):
    """Have the account have this SKU, which its owner may then not exceed: an operator's order."""

    order: Order
    sku: Sku


class EndSessions(msgspec.Struct, frozen=True, kw_only=True):
    """Have every session that began until now count no more."""

    order: Order
    reason: str


class Leave(msgspec.Struct, frozen=True):
    """Close the account and erase what is personal."""

    order: Order


Command: TypeAlias = Link | Open | GiveSku | EndSessions | Leave


class PersonLinked(IdentityEvent, frozen=True, kw_only=True):
    """A person signed in who was not known; `key` is the number of the data key of this tenure."""

    TYPE: ClassVar[str] = "dev.zekt.account.person-linked"

    tenure: int
    key: int


class AccountOpened(IdentityEvent, frozen=True, kw_only=True):
    """The person has an account; `contact` is sealed under the tenure's data key."""

    TYPE: ClassVar[str] = "dev.zekt.account.opened"

    persona: Persona
    sku: Sku
    kind: Kind
    contact: bytes


class TermsChanged(IdentityEvent, frozen=True, kw_only=True):
    """What the account may do from now on, in full."""

    TYPE: ClassVar[str] = "dev.zekt.account.terms-changed"

    persona: Persona
    sku: Sku


class SkuGiven(IdentityEvent, frozen=True, kw_only=True):
    """An operator gave the account this SKU; with its persona once it is open, so that it is in full for others."""

    TYPE: ClassVar[str] = "dev.zekt.account.sku-given"

    persona: Persona | None
    sku: Sku


class AccountChanged(IdentityEvent, frozen=True, kw_only=True):
    """The account is different now; None for what stayed. Persona and SKU have events of their own by now."""

    TYPE: ClassVar[str] = "dev.zekt.account.changed"

    persona: Persona | None = None
    sku: Sku | None = None
    kind: Kind | None
    contact: bytes | None


class SessionsRevoked(IdentityEvent, frozen=True, kw_only=True):
    """No session of the account that began until `at` counts any more."""

    TYPE: ClassVar[str] = "dev.zekt.account.sessions-revoked"

    reason: str


class AccountLeft(IdentityEvent, frozen=True, kw_only=True):
    """The account is closed; its data key is to be destroyed, and its sessions count no more."""

    TYPE: ClassVar[str] = "dev.zekt.account.left"

    key: int


ACCOUNT_SCHEMAS: Final = Schemas(
    [PersonLinked, AccountOpened, TermsChanged, SkuGiven, AccountChanged, SessionsRevoked, AccountLeft]
)


class Status(StrEnum):
    """Where the account is in its life."""

    ABSENT = "absent"
    LINKED = "linked"
    OPEN = "open"
    LEFT = "left"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know for a decision."""

    status: Status = Status.ABSENT
    tenure: int = 0
    key: int = 0
    persona: Persona | None = None
    sku: Sku | None = None
    given_sku: Sku | None = None
    kind: Kind | None = None
    contact: bytes | None = None
    sessions_end: datetime | None = None


class NotLinked(ZektError):
    """Nobody has signed in for this account, or its owner has left."""


class TenuresSpent(ZektError):
    """The person has left more often than there are numbers for their data keys: a further one would be another's."""


class OpeningIncomplete(ZektError):
    """An account opens with persona, kind and contact details."""


def stream_of(account_id: int) -> str:
    """Return the name of the account's stream."""
    return f"account/{account_id}"


def key_of(account_id: int, tenure: int) -> int:
    """Return the number of the data key for personal data: negative, as no GitHub id is, so that no payload has it."""
    return -(account_id << TENURE_BITS | tenure)


def decide(account: Account, command: Command) -> list[Event]:
    """Return what the command leads to.

    Raises:
        NotLinked: the account is not there to be opened.
        PersonaCannotNarrow: the persona would lose a side.
        SkuBeyond: the owner would have more than they were given.
        OpeningIncomplete: it would open without persona, kind or contact details.
        TenuresSpent: the person has left too often to come back.
    """
    match command:
        case Link(order):
            return [] if _is_known(account) else [_linked(account, order)]
        case Open():
            return _open(account, command)
        case GiveSku():
            return _give(account, command)
        case EndSessions(order=order, reason=reason):
            return [SessionsRevoked(**_by(order), reason=reason)] if _is_known(account) else []
        case Leave(order):
            return [AccountLeft(**_by(order), key=account.key)] if _is_known(account) else []
        case _:
            assert_never(command)


def evolve(account: Account, event: Event) -> Account:
    """Return the account after the event."""
    match event:
        case PersonLinked():
            return Account(status=Status.LINKED, tenure=event.tenure, key=event.key, sessions_end=account.sessions_end)
        case AccountOpened() | AccountChanged():
            return _described(account, event)
        case TermsChanged() | SkuGiven():
            return _on_terms(account, event)
        case SessionsRevoked():
            return msgspec.structs.replace(account, sessions_end=event.at)
        case AccountLeft():
            return Account(status=Status.LEFT, tenure=account.tenure, key=account.key, sessions_end=event.at)
        case _:
            return account


ACCOUNT: Final[Decider[Account, Command]] = Decider(Account(), decide, evolve, ACCOUNT_SCHEMAS)


def _is_known(account: Account) -> bool:
    return account.status in (Status.LINKED, Status.OPEN)


def _linked(account: Account, order: Order) -> Event:
    tenure = account.tenure + 1
    if tenure > MOST_TENURES:
        raise TenuresSpent("there is no data key left for this person")
    return PersonLinked(**_by(order), tenure=tenure, key=key_of(order.account_id, tenure))


def _open(account: Account, command: Open) -> list[Event]:
    if not _is_known(account):
        raise NotLinked("nobody has signed in for this account")
    sku = _granted(account, command)
    if account.status is Status.OPEN:
        return _change(account, command, sku)
    persona, kind, contact = command.persona, command.kind, command.contact
    if persona is None or kind is None or contact is None:
        raise OpeningIncomplete("an account opens with persona, kind and contact")
    return [AccountOpened(**_by(command.order), persona=persona, sku=sku, kind=kind, contact=contact)]


def _granted(account: Account, command: Open) -> Sku:
    """Return the SKU that the account has from now on as far as its owner decides."""
    most = account.given_sku or command.default_sku
    sku = command.sku or account.sku or most
    if sku is not account.sku and not sku.is_within(most):
        raise SkuBeyond(f"an account may have {most} at most unless an operator gives it more")
    return sku


def _change(account: Account, command: Open, sku: Sku) -> list[Event]:
    persona = command.persona or account.persona
    if persona is None or persona not in (account.persona, Persona.BOTH):
        raise PersonaCannotNarrow(f"the account is {account.persona} and can only become both")
    kind = None if command.kind is account.kind else command.kind
    changes: list[Event] = []
    if (persona, sku) != (account.persona, account.sku):
        changes.append(TermsChanged(**_by(command.order), persona=persona, sku=sku))
    if not (kind is None and command.contact is None):
        changes.append(AccountChanged(**_by(command.order), kind=kind, contact=command.contact))
    return changes


def _give(account: Account, command: GiveSku) -> list[Event]:
    if not _is_known(account):
        raise NotLinked("nobody has signed in for this account")
    if account.given_sku is command.sku and account.sku in (None, command.sku):
        return []
    return [SkuGiven(**_by(command.order), persona=account.persona, sku=command.sku)]


def _described(account: Account, event: AccountOpened | AccountChanged) -> Account:
    return msgspec.structs.replace(
        account,
        status=Status.OPEN,
        persona=event.persona or account.persona,
        sku=event.sku or account.sku,
        kind=event.kind or account.kind,
        contact=event.contact or account.contact,
    )


def _on_terms(account: Account, event: TermsChanged | SkuGiven) -> Account:
    given = event.sku if isinstance(event, SkuGiven) else account.given_sku
    sku = event.sku if event.persona else None  # one that is not open yet opens with what it was given
    return msgspec.structs.replace(account, persona=event.persona, sku=sku, given_sku=given)


def _by(order: Order) -> dict[str, Any]:
    return msgspec.structs.asdict(order)
