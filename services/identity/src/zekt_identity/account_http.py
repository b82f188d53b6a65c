"""`/api/account` and `/api/audit`: what a person may see, have and end of their own."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from zekt_common.auth.origin import origin_of
from zekt_common.auth.requirements import AccountOwner
from zekt_common.auth.sessions import COOKIE, Session, SessionVerifier
from zekt_common.clock import Clock
from zekt_common.errors import StreamConflict
from zekt_common.kit.account_audit import audit_page
from zekt_common.kit.errors import Refusal, json_response
from zekt_common.kit.json_body import json_body
from zekt_common.kit.rate_limit import RateLimit
from zekt_common.kit.service import Handler, Route
from zekt_common.ports import Views
from zekt_identity.account import Account, NotLinked, OpeningIncomplete, Order
from zekt_identity.account_terms import PersonaCannotNarrow, SkuBeyond
from zekt_identity.accounts import Accounts, Description
from zekt_identity.audited import SESSION
from zekt_identity.sessions import Sessions

CHANGES_PER_S: Final = 1 / 600
CHANGES_AT_ONCE: Final = 30
"""An account is read from all of its events: who could change it every few seconds would make it slow within days."""
_PRIVATE: Final = {"Cache-Control": "no-store"}


@dataclass(frozen=True, kw_only=True)
class AccountDesk:
    """What the routes work with."""

    accounts: Accounts
    sessions: Sessions
    verifier: SessionVerifier
    views: Views
    clock: Clock


class AccountDoor:
    """The routes; `desk` is asked for on each request, since it exists only while the service runs.

    Descriptions make an account's stream longer, so each person gives them at a bounded rate.
    """

    def __init__(self, desk: Callable[[], AccountDesk], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._desk = desk
        self._changes = RateLimit(per_s=CHANGES_PER_S, burst=CHANGES_AT_ONCE, monotonic=monotonic)

    def routes(self) -> list[Route]:
        """Return all of them; each is about the account of the session and of nobody else."""
        return [
            _route("GET", "/api/account", self.get_account),
            _route("PUT", "/api/account", self.put_account),
            _route("DELETE", "/api/account", self.leave),
            _route("DELETE", "/api/account/sessions", self.end_sessions),
            _route("GET", "/api/audit", self.get_audit),
        ]

    async def get_account(self, request: web.Request) -> web.Response:
        """The account as its owner may see it: all of it."""
        session = await self._session(request)
        account = await self._desk().accounts.find(session.account_id)
        return await self._shown(session, account)

    async def put_account(self, request: web.Request) -> web.Response:
        """Open the account, or have it be as described."""
        session, body = await self._session(request), await request.read()
        if wait_s := self._changes.wait_s(session.account_id):
            detail = f"Too many changes in a short time: wait {wait_s} s."
            raise Refusal(429, "too_many_orders", detail, headers={"Retry-After": str(wait_s)})
        wanted = json_body(body, Description)
        with _changing():
            account = await self._desk().accounts.describe(self._order(session, request), wanted)
        return await self._shown(session, account)

    async def leave(self, request: web.Request) -> web.Response:
        """Close the account and erase what is personal, at once."""
        session = await self._session(request)
        with _changing():
            await self._desk().accounts.leave(self._order(session, request))
        return self._signed_out()

    async def end_sessions(self, request: web.Request) -> web.Response:
        """Sign out everywhere."""
        session = await self._session(request)
        with _changing():
            await self._desk().accounts.end_sessions(self._order(session, request), "signed out everywhere")
        return self._signed_out()

    async def get_audit(self, request: web.Request) -> web.Response:
        """Who did what with the account, when, from where: newest first; `next` continues it as `before`."""
        session = await self._session(request)
        return await audit_page(request, self._desk().views, session.account_id)

    async def _session(self, request: web.Request) -> Session:
        session = request[SESSION] = await self._desk().verifier.verify(request)
        return session

    def _order(self, session: Session, request: web.Request) -> Order:
        return Order(
            account_id=session.account_id,
            actor=str(session.account_id),
            origin=origin_of(request),
            at=self._desk().clock(),
        )

    def _signed_out(self) -> web.Response:
        self._desk().sessions.look_again()
        response = web.Response(status=204, headers=_PRIVATE)
        response.del_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Lax")
        return response

    async def _shown(self, session: Session, account: Account) -> web.Response:
        shown: dict[str, Any] = {
            "accountId": session.account_id,
            "status": account.status,
            "persona": account.persona,
            "sku": account.sku,
            "kind": account.kind,
            "contact": await self._desk().accounts.contact(account),
        }
        return json_response(shown, headers=_PRIVATE)


@contextmanager
def _changing() -> Iterator[None]:
    """Turn what keeps an account from being changed into answers.

    Raises:
        Refusal: 400, 403 or 409.
    """
    try:
        yield
    except NotLinked:
        raise Refusal(409, "account_left", "The account was left. Sign in again to begin anew.") from None
    except PersonaCannotNarrow as error:
        raise Refusal(409, "persona_cannot_narrow", f"{error}.") from None
    except SkuBeyond as error:
        raise Refusal(403, "operators_alone", f"{error}.") from None
    except OpeningIncomplete as error:
        raise Refusal(400, "invalid_request", f"{error}.") from None
    except StreamConflict:
        raise account_changed() from None


def account_changed() -> Refusal:
    """Return the refusal of a change that lost its race again and again."""
    return Refusal(409, "account_changed", "The account is being changed at the same moment. Try again.")


def _route(method: str, path: str, handler: Handler) -> Route:
    return Route(method=method, path=path, handler=handler, requires=AccountOwner(), max_body_bytes=16 * 1024)
