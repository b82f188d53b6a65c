"""`POST /api/operations/ingress/wait`: answers once ingress has seen the catalog events that a command has stored."""

import re
from typing import Annotated, Final

import msgspec
from aiohttp import web

from zekt_common.auth.authorisation import CALLER, check_owner
from zekt_common.kit.errors import Refusal, json_response
from zekt_common.kit.json_body import json_body
from zekt_ingress.seen_events import SeenEvents

MAX_EVENTS: Final = 10_000
MAX_WAIT_S: Final = 60.0
MAX_BODY_BYTES: Final = 1024 * 1024
_CATALOG_EVENT: Final = re.compile(r"catalog/([1-9][0-9]{0,17})@[1-9][0-9]{0,9}")


class _Order(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    event_ids: Annotated[list[str], msgspec.Meta(max_length=MAX_EVENTS)]
    timeout_s: Annotated[float, msgspec.Meta(ge=0, le=MAX_WAIT_S)] = msgspec.field(default=10.0, name="timeoutS")


class WaitDoor:
    """Lets a caller read what it has just written."""

    def __init__(self, seen: SeenEvents) -> None:
        self._seen = seen

    async def wait(self, request: web.Request) -> web.Response:
        """Answer 200, or 504 with what is missing when the time is up; people wait for their own catalog alone."""
        expected = f'Send {{"eventIds": ["catalog/1@7"], "timeoutS": 10}}, with at most {MAX_WAIT_S:.0f} s.'
        order = json_body(await request.read(), _Order, expected=expected)
        check_owner(request[CALLER], (_account_of(event_id) for event_id in order.event_ids))
        missing = await self._seen.wait(order.event_ids, timeout_s=order.timeout_s)
        if missing:
            shown = ", ".join(sorted(missing)[:5])
            raise Refusal(504, "not_seen_yet", f"{len(missing)} of the events have not been seen yet, such as {shown}.")
        return json_response({"status": "seen"})


def _account_of(event_id: str) -> int:
    """Return whose catalog the event changed, or nobody's id."""
    found = _CATALOG_EVENT.fullmatch(event_id)
    return int(found[1]) if found else 0
