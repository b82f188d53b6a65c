"""Identity's views of its own events: what happened by account, and what ended before its time.

| Partition | Id | For |
|---|---|---|
| `audit/{account id}` | time, event | `GET /api/audit` |
| `ended-sessions` | end of the session's life, id | the public key set |
| `ended-accounts` | end of the sessions' life, account id | the public key set |
| `installations` | installation id | what is known of each |
| `repositories-of/{installation id}` | repository id | what is known of each |
| `lost-by/{installation id}` | repository id | what has left it, as long as a token from before may live |
| `due` | time, stream | erasing what is personal |
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from zekt_common.clock import to_micros
from zekt_common.envelope import Envelope
from zekt_common.kit.account_audit import AuditEntry, action_of, audited
from zekt_common.kit.sweeper import due
from zekt_common.ports import Put, Remove
from zekt_common.schemas import Schemas
from zekt_identity.account import ACCOUNT_SCHEMAS, AccountLeft, SessionsRevoked
from zekt_identity.audit import AUDIT_SCHEMAS, NOBODY
from zekt_identity.identity_event import IdentityEvent
from zekt_identity.installation import INSTALLATION_SCHEMAS, InstallationObserved
from zekt_identity.repository import REPOSITORY_SCHEMAS, RepositoryObserved
from zekt_identity.session import SESSION_LIFE, SESSION_SCHEMAS, TOLD_ON, SessionEnded

ENDED_SESSIONS: Final = "ended-sessions"
ENDED_ACCOUNTS: Final = "ended-accounts"
INSTALLATIONS: Final = "installations"
SCHEMAS: Final = Schemas(
    [*ACCOUNT_SCHEMAS, *SESSION_SCHEMAS, *AUDIT_SCHEMAS, *INSTALLATION_SCHEMAS, *REPOSITORY_SCHEMAS]
)
_NOT_TOLD: Final = ("account_id", "actor", "origin", "at", "contact", "key")
TOKENS_LIVE_S: Final = 2 * 3600
"""Longer than an installation token does, whenever its fetch was under way."""
_TOLD_S: Final = int((SESSION_LIFE + TOLD_ON).total_seconds())


class EndedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account's sessions that began until `at` count no more."""

    account_id: int
    at: datetime


def repositories_of(installation_id: int) -> str:
    """Return the partition of the repositories in the installation."""
    return f"repositories-of/{installation_id}"


def lost_by(installation_id: int) -> str:
    """Return the partition of the repositories that have left the installation."""
    return f"lost-by/{installation_id}"


def place(moment: datetime, rest: object) -> str:
    """Return the id of a document that is listed by time."""
    return f"{to_micros(moment):016d}:{rest}"


def project(envelope: Envelope) -> Sequence[Put | Remove]:
    """Return what the stored event changes in the views."""
    if envelope.type not in SCHEMAS:
        return []
    event = SCHEMAS.decode(envelope)
    if not isinstance(event, IdentityEvent):
        return []
    return [*_audited(envelope, event), *_ended(event), *_seen(event), *_due(envelope, event)]


def _audited(envelope: Envelope, event: IdentityEvent) -> list[Put | Remove]:
    """Return the entry in the audit of the account; what concerns none is the operators', who read events."""
    if event.account_id == NOBODY:
        return []
    fields = msgspec.to_builtins(event, builtin_types=(datetime,))
    entry = AuditEntry(
        at=event.at,
        action=action_of(envelope),
        actor=event.actor,
        origin=event.origin,
        details={name: value for name, value in fields.items() if name not in _NOT_TOLD and value is not None},
    )
    return [audited(event.account_id, envelope, entry)]


def _ended(event: IdentityEvent) -> list[Put | Remove]:
    match event:
        case SessionEnded():
            id_ = place(event.ends_at, event.session_id)
            return [Put(partition=ENDED_SESSIONS, id=id_, body=b"{}", ttl_s=_TOLD_S)]
        case SessionsRevoked() | AccountLeft():
            return [_account_ended(event.account_id, event.at)]
        case _:
            return []


def _account_ended(account_id: int, at: datetime) -> Put:
    body = msgspec.json.encode(EndedAccount(account_id=account_id, at=at))
    id_ = place(at + SESSION_LIFE, account_id)
    return Put(partition=ENDED_ACCOUNTS, id=id_, body=body, ttl_s=_TOLD_S)


def _seen(event: IdentityEvent) -> list[Put | Remove]:
    match event:
        case InstallationObserved(facts=facts):
            body = msgspec.json.encode(facts)
            return [Put(partition=INSTALLATIONS, id=str(facts.installation_id), body=body)]
        case RepositoryObserved():
            return _repository(event)
        case _:
            return []


def _repository(event: RepositoryObserved) -> list[Put | Remove]:
    id_, here = str(event.facts.repository_id), repositories_of(event.facts.installation_id)
    left = [] if event.moved_from is None else _lost(event.moved_from, id_)
    if event.facts.status == "withdrawn":
        return [*left, *_lost(event.facts.installation_id, id_)]
    again = Remove(partition=lost_by(event.facts.installation_id), id=id_)
    return [*left, again, Put(partition=here, id=id_, body=msgspec.json.encode(event.facts))]


def _lost(installation_id: int, id_: str) -> list[Put | Remove]:
    gone = Put(partition=lost_by(installation_id), id=id_, body=b"{}", ttl_s=TOKENS_LIVE_S)
    return [Remove(partition=repositories_of(installation_id), id=id_), gone]


def _due(envelope: Envelope, event: IdentityEvent) -> list[Put | Remove]:
    return [due(envelope.stream, event.at)] if isinstance(event, AccountLeft) else []
