"""A person's audit at the router: what they ordered here and what they were refused, as the host has stored it."""

from collections.abc import Sequence
from datetime import datetime

from zekt_common.auth.authorisation_log import ACCESS_SCHEMAS, ActionOrdered, CallerRefused
from zekt_common.envelope import Envelope
from zekt_common.kit.account_audit import AuditEntry, action_of, audited
from zekt_common.ports import Put


def audit_entries(envelope: Envelope) -> Sequence[Put]:
    """Return what the event adds to its actor's audit, if that is a person: they alone are called by a number."""
    match ACCESS_SCHEMAS.decode(envelope):
        case ActionOrdered(actor=actor) as ordered if _is_person(actor):
            return [_entry(envelope, ordered, envelope.time, {"route": ordered.route})]
        case CallerRefused(actor=actor) as refused if _is_person(actor):
            return [_entry(envelope, refused, refused.at, {"route": refused.route, "error": refused.error})]
        case _:
            return []


def _is_person(actor: str) -> bool:
    return actor.isascii() and actor.isdigit()


def _entry(envelope: Envelope, event: ActionOrdered | CallerRefused, at: datetime, details: dict[str, str]) -> Put:
    entry = AuditEntry(at=at, action=action_of(envelope), actor=event.actor, origin=event.origin, details=details)
    return audited(int(event.actor), envelope, entry)
