"""Refusals leave a note: every route of identity is wrapped, so that none can forget it."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from aiohttp import web

from zekt_common.auth.origin import origin_of
from zekt_common.auth.refusals import RoleMissing
from zekt_common.auth.sessions import Session
from zekt_common.kit.errors import Refusal
from zekt_common.kit.service import Handler, Route
from zekt_identity.audit import NOBODY
from zekt_identity.auditor import UNKNOWN, Auditor

SESSION: Final = web.RequestKey("SESSION", Session)
"""Where a handler leaves the verified session in its request."""
_NOTED: Final = frozenset({401, 403, 404, 422})


def audited(routes: Sequence[Route], auditor: Callable[[], Auditor]) -> list[Route]:
    """Return the routes, with refusals noted before they are answered."""
    return [msgspec.structs.replace(route, handler=_noting(route, auditor)) for route in routes]


def _noting(route: Route, auditor: Callable[[], Auditor]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await route.handler(request)
        except Refusal as refusal:
            if refusal.status in _NOTED:
                await auditor().refused(
                    route=f"{route.method} {route.path}",
                    error=refusal.error,
                    actor=_actor_of(refusal, request),
                    origin=origin_of(request),
                    account_id=_account_of(request),
                )
            raise

    return handle


def _actor_of(refusal: Refusal, request: web.Request) -> str:
    """Return who was refused: a service whose token only lacks a role, or the person who is signed in."""
    if isinstance(refusal, RoleMissing) and refusal.caller:
        return refusal.caller
    session = request.get(SESSION)
    return UNKNOWN if session is None else str(session.account_id)


def _account_of(request: web.Request) -> int:
    session = request.get(SESSION)
    return NOBODY if session is None else session.account_id
