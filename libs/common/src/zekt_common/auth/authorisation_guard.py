"""Stands before the routes of operators, owners and machines: admits the first two, notes changes and refusals.

What only a handler can see it verifies itself, and leaves who calls as the request's CALLER once that is proved.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from aiohttp import web

from zekt_common.auth.authorisation import CALLER, Authorisation, Caller
from zekt_common.auth.authorisation_log import UNKNOWN, AuthorisationLog
from zekt_common.auth.origin import origin_of
from zekt_common.auth.requirements import (
    MACHINES_OWN,
    OPERATORS_OWN,
    ActionsToken,
    Operator,
    OperatorOrOwner,
    Requirement,
    WebhookSignature,
)
from zekt_common.kit.errors import Refusal
from zekt_common.kit.rate_limit import RateLimit
from zekt_common.kit.service import Handler, Route

ORDERS_PER_S: Final = 1 / 6
ORDERS_AT_ONCE: Final = 30
NOTED_WITHIN_S: Final = 5.0
AGAIN_AFTER_S: Final = 5
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_NOTED: Final[Mapping[type[Requirement], frozenset[int]]] = {
    Operator: frozenset({401, 403}),
    OperatorOrOwner: frozenset({401, 403}),
    WebhookSignature: frozenset({401, 403}),
    ActionsToken: frozenset({401, 403, 404}),  # what is another repository's is answered as if it were not there
}


class Guard:
    """Of one service; without logs, because it stores nothing, nothing is noted.

    Machines' doors have a log of their own, so that whoever knocks there hides nothing of what people were refused.
    """

    def __init__(
        self,
        authorisation: Callable[[], Authorisation],
        log: AuthorisationLog | None,
        machines_log: AuthorisationLog | None = None,
    ) -> None:
        self._authorisation = authorisation
        self._log = log
        self._machines_log = machines_log
        self._orders = RateLimit(per_s=ORDERS_PER_S, burst=ORDERS_AT_ONCE)

    def before(self, route: Route) -> Route:
        """Return the route as it is, or guarded if the host is to look at who calls or at what is refused."""
        if isinstance(route.requires, OPERATORS_OWN):
            return _noting(msgspec.structs.replace(route, handler=self._admitting(route)), self._log)
        return _noting(route, self._machines_log) if isinstance(route.requires, MACHINES_OWN) else route

    def _admitting(self, route: Route) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            caller = await self._authorisation().admit(route.requires, request)
            if route.method not in _SAFE_METHODS:
                await self._order(request, _name(route), caller)
            return await route.handler(request)

        return handle

    async def _order(self, request: web.Request, route: str, caller: Caller) -> None:
        """Store what was ordered; a person, who may be anybody, orders at a bounded rate."""
        if not caller.is_operator and (wait_s := self._orders.wait_s(caller.actor)):
            detail = f"Too many changes in a short time: wait {wait_s} s."
            raise Refusal(429, "too_many_orders", detail, headers={"Retry-After": str(wait_s)})
        if self._log is not None:
            await self._log.ordered(actor=caller.actor, origin=origin_of(request), route=route)


def _noting(route: Route, log: AuthorisationLog | None) -> Route:
    """Return the route, with refusals noted before they are answered."""
    if log is None:
        return route
    name, noted = _name(route), _NOTED[type(route.requires)]

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await route.handler(request)
        except Refusal as refusal:
            if refusal.status in noted:
                await _note(log, request, name, refusal)
            raise

    return msgspec.structs.replace(route, handler=handle)


async def _note(log: AuthorisationLog, request: web.Request, route: str, refusal: Refusal) -> None:
    """Note the refusal, within bounds: while storage hangs, whoever knocks must not pile up before a shut door."""
    caller = request.get(CALLER)
    actor = UNKNOWN if caller is None else caller.actor
    try:
        async with asyncio.timeout(NOTED_WITHIN_S):
            await log.refused(actor=actor, origin=origin_of(request), route=route, error=refusal.code)
    except TimeoutError:
        detail = "Nothing can be stored now, and nothing was done. Try again."
        raise Refusal(503, "storage_slow", detail, headers={"Retry-After": str(AGAIN_AFTER_S)}) from None


def _name(route: Route) -> str:
    return f"{route.method} {route.path}"
