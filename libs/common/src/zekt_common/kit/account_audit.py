"""An account's audit, as its owner reads it: who did what, when, from where. Each service keeps its own part of it."""

from datetime import datetime
from typing import Any, Final

import msgspec
from aiohttp import web

from zekt_common.clock import to_micros
from zekt_common.envelope import Envelope
from zekt_common.kit.errors import Refusal, json_response
from zekt_common.ports import Put, Views

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
_PREFIX: Final = "dev.zekt."


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what, when, from where."""

    at: datetime
    action: str
    actor: str
    origin: str
    details: dict[str, Any]


def audit_of(account_id: int) -> str:
    """Return the partition of what happened to the account."""
    return f"audit/{account_id}"


def audited(account_id: int, envelope: Envelope, entry: AuditEntry) -> Put:
    """Return what the stored event adds to the account's audit."""
    id_ = f"{to_micros(entry.at):016d}:{envelope.id.replace('/', ':')}"
    return Put(partition=audit_of(account_id), id=id_, body=msgspec.json.encode(entry))


def action_of(envelope: Envelope) -> str:
    """Return what an audit calls the event."""
    return envelope.type.removeprefix(_PREFIX)


async def audit_page(request: web.Request, views: Views, account_id: int) -> web.Response:
    """Answer with the newest entries first, as many as `limit` says; `next` continues them as `before`.

    Raises:
        Refusal: 400, the limit is none.
    """
    limit, before = _limit(request), request.query.get("before", "")
    page = await views.listing(audit_of(account_id), after=before, limit=limit, descending=True)
    entries = [msgspec.json.decode(document.body, type=AuditEntry) for document in page]
    following = page[-1].id if len(page) == limit else None
    return json_response({"entries": entries, "next": following}, headers={"Cache-Control": "no-store"})


def _limit(request: web.Request) -> int:
    value = request.query.get("limit", str(DEFAULT_LIMIT))
    if not (value.isascii() and value.isdigit() and 1 <= int(value[:20]) <= MAX_LIMIT):
        raise Refusal(400, "invalid_limit", f"limit must be a whole number from 1 to {MAX_LIMIT}.")
    return int(value[:20])
