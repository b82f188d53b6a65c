"""What identity notes beside its aggregates: tokens given out and access refused. Streams of one event each.

A stream's name says what is noted and for which minute, so that of many equal notes, in any replica, one is stored.
"""

import hashlib
from datetime import datetime
from typing import ClassVar, Final, Literal, TypeAlias

from zekt_common.schemas import Schemas
from zekt_identity.identity_event import IdentityEvent

NOBODY: Final = 0
"""The account of what concerns none; operators see it."""

TokenKind: TypeAlias = Literal["installation", "user"]


class TokenGiven(IdentityEvent, frozen=True, kw_only=True):
    """The service `actor` was given a token. `is_new`: for the first time, else again within the minute of `at`."""

    TYPE: ClassVar[str] = "dev.zekt.audit.token-given"

    kind: TokenKind
    purpose: str
    is_new: bool
    installation_id: int | None = None
    repository_ids: tuple[int, ...] = ()


class AccessRefused(IdentityEvent, frozen=True, kw_only=True):
    """A request was refused: `error` is the answer's stable code, `route` what was asked for."""

    TYPE: ClassVar[str] = "dev.zekt.audit.access-refused"

    route: str
    error: str


AUDIT_SCHEMAS: Final = Schemas([TokenGiven, AccessRefused])


def minute_of(moment: datetime) -> datetime:
    """Return the beginning of the minute."""
    return moment.replace(second=0, microsecond=0)


def stream_of(*facts: object) -> str:
    """Return the name of the stream that notes these facts, once."""
    return f"audit/{hashlib.sha256(repr(facts).encode()).hexdigest()[:40]}"
