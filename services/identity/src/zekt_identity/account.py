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
from zekt_identity.identity_event import IdentityEvent

TENURE_BITS: Final = 16


class Persona(StrEnum):
    """Which side of a delivery the account may be on."""

    PROVIDER = "provider"
    CONSUMER = "consumer"
    BOTH = "both"


class Sku(StrEnum):
    """What the account has bought."""

    FREE = "free"
    STANDARD = "standard"
    ENTERPRISE = "enterprise"


class Kind(StrEnum):
    """Whom the contact details are of."""

    INDIVIDUAL = "individual"
    COMPANY = "company"


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
    """Open the account, or have the open one be as given; `contact` is sealed, None leaves it as it is."""

    order: Order
    persona: Persona
    sku: Sku
    kind: Kind
    contact: bytes | None


class EndSessions(msgspec.Struct, frozen=True, kw_only=True):
    """Have every session that began until now count no more."""

    order: Order
    reason: str


class Leave(msgspec.Struct, frozen=True):
    """Close the account and erase what is personal."""

    order: Order


Command: TypeAlias = Link | Open | EndSessions | Leave


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
    [PersonLinked, AccountOpened, TermsChanged, AccountChanged, SessionsRevoked, AccountLeft]
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
    kind: Kind | None = None
    contact: bytes | None = None
    sessions_end: datetime | None = None


class NotLinked(ZektError):
    """Nobody has signed in for this account, or its owner has left."""


class PersonaCannotNarrow(ZektError):
    """An account that is both stays both, and no persona turns into the other."""


class ContactMissing(ZektError):
    """An account opens with contact details."""


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
        ContactMissing: it would open without contact details.
    """
    match command:
        case Link(order):
            return [] if _is_known(account) else [_linked(account, order)]
        case Open():
            return _open(account, command)
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
        case TermsChanged(persona=persona, sku=sku):
            return msgspec.structs.replace(account, persona=persona, sku=sku)
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
    return PersonLinked(**_by(order), tenure=tenure, key=key_of(order.account_id, tenure))


def _open(account: Account, command: Open) -> list[Event]:
    if not _is_known(account):
        raise NotLinked("nobody has signed in for this account")
    if account.status is Status.OPEN:
        return _change(account, command)
    if command.contact is None:
        raise ContactMissing("an account opens with contact details")
    return [
        AccountOpened(
            **_by(command.order),
            persona=command.persona,
            sku=command.sku,
            kind=command.kind,
            contact=command.contact,
        )
    ]


def _change(account: Account, command: Open) -> list[Event]:
    if command.persona not in (account.persona, Persona.BOTH):
        raise PersonaCannotNarrow(f"the account is {account.persona} and can only become both")
    return [*_new_terms(account, command), *_new_description(account, command)]


def _new_terms(account: Account, command: Open) -> list[Event]:
    if (command.persona, command.sku) == (account.persona, account.sku):
        return []
    return [TermsChanged(**_by(command.order), persona=command.persona, sku=command.sku)]


def _new_description(account: Account, command: Open) -> list[Event]:
    kind = None if command.kind is account.kind else command.kind
    if kind is None and command.contact is None:
        return []
    return [AccountChanged(**_by(command.order), kind=kind, contact=command.contact)]


def _described(account: Account, event: AccountOpened | AccountChanged) -> Account:
    return msgspec.structs.replace(
        account,
        status=Status.OPEN,
        persona=event.persona or account.persona,
        sku=event.sku or account.sku,
        kind=event.kind or account.kind,
        contact=event.contact or account.contact,
    )


def _by(order: Order) -> dict[str, Any]:
    return msgspec.structs.asdict(order)
