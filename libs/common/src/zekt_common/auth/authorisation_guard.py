"""Stands before the routes of operators and owners: admits, notes changes before they are made, notes refusals."""

from collections.abc import Callable
from typing import Final

import msgspec
from aiohttp import web

from zekt_common.auth.authorisation import CALLER, Authorisation, Caller
from zekt_common.auth.authorisation_log import UNKNOWN, AuthorisationLog
from zekt_common.auth.origin import origin_of
from zekt_common.auth.requirements import OPERATORS_OWN
from zekt_common.kit.errors import Refusal
from zekt_common.kit.rate_limit import RateLimit
from zekt_common.kit.service import Handler, Route

ORDERS_PER_S: Final = 1 / 6
ORDERS_AT_ONCE: Final = 30
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_NOTED: Final = frozenset({401, 403})


class Guard:
    """Of one service; without a log, because it stores nothing, nothing is noted."""

    def __init__(self, authorisation: Callable[[], Authorisation], log: AuthorisationLog | None) -> None:
        self._authorisation = authorisation
        self._log = log
        self._orders = RateLimit(per_s=ORDERS_PER_S, burst=ORDERS_AT_ONCE)

    def before(self, route: Route) -> Route:
        """Return the route as it is, or guarded if the host is to look at who calls."""
        if not isinstance(route.requires, OPERATORS_OWN):
            return route
        return msgspec.structs.replace(route, handler=self._guarded(route))

    def _guarded(self, route: Route) -> Handler:
        name = f"{route.method} {route.path}"

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                caller = await self._authorisation().admit(route.requires, request)
                if route.method not in _SAFE_METHODS:
                    await self._order(request, name, caller)
                return await route.handler(request)
            except Refusal as refusal:
                await self._note(request, name, refusal)
                raise

        return handle

    async def _order(self, request: web.Request, route: str, caller: Caller) -> None:
        """Store what was ordered; a person, who may be anybody, orders at a bounded rate."""
        if not caller.is_operator and (wait_s := self._orders.wait_s(caller.actor)):
            detail = f"Too many changes in a short time: wait {wait_s} s."
            raise Refusal(429, "too_many_orders", detail, headers={"Retry-After": str(wait_s)})
        if self._log is not None:
            await self._log.ordered(actor=caller.actor, origin=origin_of(request), route=route)

    async def _note(self, request: web.Request, route: str, refusal: Refusal) -> None:
        if self._log is None or refusal.status not in _NOTED:
            return
        caller = request.get(CALLER)
        actor = UNKNOWN if caller is None else caller.actor
        await self._log.refused(actor=actor, origin=origin_of(request), route=route, error=refusal.error)
