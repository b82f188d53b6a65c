"""`/auth`: signing in and out, and the public keys by which other services recognise sessions."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

from zekt_common.auth.origin import origin_of
from zekt_common.auth.requirements import PersonSession, Public, Requirement, SigningIn
from zekt_common.auth.sessions import COOKIE, Session, SessionVerifier
from zekt_common.contracts.identity_sessions import SESSION_KEYS_PATH, WANTED_KEY
from zekt_common.errors import ZektError
from zekt_common.kit.errors import Refusal, json_response
from zekt_common.kit.service import Handler, Route
from zekt_identity.audited import SESSION
from zekt_identity.github_app import GitHubRefused, GitHubUnavailable
from zekt_identity.github_oauth import GrantRefused
from zekt_identity.session import SessionSpent
from zekt_identity.sessions import TOKEN_LIFE, Sessions
from zekt_identity.sign_in import ATTEMPT_LIFE, CALLBACK_PATH, AttemptRefused, ReturnRefused, SignedIn, SignIn
from zekt_identity.sign_in_limit import SignInLimit

ATTEMPT_COOKIE: Final = "__Host-zekt_sign_in"
CALLBACKS_PER_S: Final = 1.0
CALLBACKS_BURST: Final = 30
RETRY_AFTER_S: Final = 5.0
_NO_BODY: Final = 1024
_TOLD_BY_BROWSER: Final = frozenset({"access_denied", "application_suspended", "redirect_uri_mismatch"})
"""Why GitHub sends browsers back without a code, in its words; any other word may be anybody's."""
PRIVATE: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class SignInDesk:
    """What the routes work with; without an OAuth client there is no `sign_in`."""

    sign_in: SignIn | None
    sessions: Sessions
    verifier: SessionVerifier


class AuthDoor:
    """The routes; `desk` is asked for on each request, since it exists only while the service runs.

    A callback has GitHub asked, so callbacks are limited for each network.
    """

    def __init__(self, desk: Callable[[], SignInDesk], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._desk = desk
        self._callbacks = SignInLimit(per_s=CALLBACKS_PER_S, burst=CALLBACKS_BURST, monotonic=monotonic)

    def routes(self) -> list[Route]:
        """Return all of them."""
        return [
            _route("GET", "/auth/login", self.log_in, SigningIn()),
            _route("GET", CALLBACK_PATH, self.call_back, SigningIn()),
            _route("POST", "/auth/renew", self.renew, PersonSession()),
            _route("POST", "/auth/logout", self.log_out, PersonSession()),
            Route(
                method="GET",
                path=SESSION_KEYS_PATH,
                handler=self.get_keys,
                requires=Public(),
                internal=True,
                max_body_bytes=_NO_BODY,
            ),
        ]

    async def log_in(self, request: web.Request) -> web.Response:
        """Send the browser to GitHub; `return_to` is the path to come back to."""
        try:
            begun = await self._sign_in().begin(request.query.get("return_to", "/"))
        except ReturnRefused as error:
            raise Refusal(400, "return_refused", f"{error}.") from None
        response = _redirect(begun.url)
        _set(response, ATTEMPT_COOKIE, begun.note, max_age_s=ATTEMPT_LIFE.total_seconds())
        return response

    async def call_back(self, request: web.Request) -> web.Response:
        """Take the browser's way back from GitHub: a session, or a refusal that says no more than that."""
        self._callbacks.check(request)
        query = request.query
        if "error" in query or "code" not in query:
            told = query.get("error", "")
            log.info("sign_in_refused", reason=told if told in _TOLD_BY_BROWSER else "no_code")
            raise _refused()
        signed_in = await self._finish(
            code=query["code"],
            state=query.get("state", ""),
            note=request.cookies.get(ATTEMPT_COOKIE, ""),
            origin=origin_of(request),
        )
        response = _redirect(signed_in.return_to)
        _set(response, COOKIE, signed_in.token, max_age_s=TOKEN_LIFE.total_seconds())
        _clear(response, ATTEMPT_COOKIE)
        return response

    async def renew(self, request: web.Request) -> web.Response:
        """Give the session another hour, within what is left of its twelve: in the cookie, or to a bearer."""
        session = await self._session(request)
        token = await self._desk().sessions.token(session)
        if "Authorization" in request.headers:
            return json_response({"token": token}, headers=PRIVATE)
        response = web.Response(status=204, headers=PRIVATE)
        _set(response, COOKIE, token, max_age_s=TOKEN_LIFE.total_seconds())
        return response

    async def log_out(self, request: web.Request) -> web.Response:
        """End the session, here at once and everywhere within a minute."""
        await self._desk().sessions.end(await self._session(request), origin=origin_of(request))
        response = web.Response(status=204, headers=PRIVATE)
        _clear(response, COOKIE)
        return response

    async def get_keys(self, request: web.Request) -> web.Response:
        """The public keys of sessions, with the one that was made just now if it is asked for, and what has ended."""
        return json_response(await self._desk().sessions.key_set(request.query.get(WANTED_KEY, "")))

    async def _finish(self, **attempt: str) -> SignedIn:
        try:
            return await self._sign_in().finish(**attempt)
        except (AttemptRefused, GrantRefused, GitHubRefused, SessionSpent) as error:
            log_refusal(error)
            raise _refused() from None
        except GitHubUnavailable as error:
            raise github_unavailable(error) from None

    async def _session(self, request: web.Request) -> Session:
        session = request[SESSION] = await self._desk().verifier.verify(request)
        return session

    def _sign_in(self) -> SignIn:
        sign_in = self._desk().sign_in
        if sign_in is None:
            raise sign_in_off()
        return sign_in


def sign_in_off() -> Refusal:
    """Return the refusal of a suite that has no OAuth client."""
    detail = "Sign-in is off: set ZEKT_GITHUB_OAUTH_CLIENT_ID and ZEKT_GITHUB_OAUTH_CLIENT_SECRET."
    return Refusal(404, "sign_in_off", detail)


def log_refusal(error: ZektError) -> None:
    """Say why in one word, GitHub's own where it refused: it tells a wrong client secret from a code that is spent."""
    reason = error.code if isinstance(error, GrantRefused | GitHubRefused) else type(error).__name__
    log.info("sign_in_refused", reason=reason)


def github_unavailable(error: GitHubUnavailable) -> Refusal:
    """Return the refusal of a sign-in that GitHub cannot be asked about now, with when to come again."""
    headers = {"Retry-After": str(math.ceil(error.pause_s or RETRY_AFTER_S))}
    return Refusal(503, "github_unavailable", f"{error}. Sign in again shortly.", headers=headers)


def _route(method: str, path: str, handler: Handler, requires: Requirement) -> Route:
    return Route(method=method, path=path, handler=handler, requires=requires, max_body_bytes=_NO_BODY)


def _refused() -> Refusal:
    return Refusal(403, "sign_in_refused", "The sign-in was not completed. Begin again at /auth/login.")


def _redirect(location: str) -> web.Response:
    return web.Response(status=303, headers={"Location": location, **PRIVATE})


def _set(response: web.Response, name: str, value: str, *, max_age_s: float) -> None:
    response.set_cookie(name, value, max_age=int(max_age_s), path="/", secure=True, httponly=True, samesite="Lax")


def _clear(response: web.Response, name: str) -> None:
    response.del_cookie(name, path="/", secure=True, httponly=True, samesite="Lax")
