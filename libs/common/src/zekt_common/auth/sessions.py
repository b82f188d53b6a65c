"""People's sessions: a signed cookie, or the same token as a bearer, that any replica of any service verifies.

The cookie is HttpOnly, Secure and SameSite=Lax; its `__Host-` name keeps other hosts of the domain from setting it.
A request that changes something and comes with the cookie must come from our own pages.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
import msgspec
from aiohttp import web

from zekt_common.auth.bearer import MAX_TOKEN_LENGTH, bearer_token, check_times
from zekt_common.auth.refusals import TokenRefused
from zekt_common.auth.session_keys import SessionKeys
from zekt_common.clock import Clock, utc_now
from zekt_common.contracts.identity_sessions import SESSION_ALGORITHM, SESSION_AUDIENCE, SessionKeySet
from zekt_common.kit.errors import Refusal

COOKIE: Final = "__Host-zekt_session"
LEEWAY_S: Final = 5.0
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITE: Final = ("same-origin", "none")
_UNCHECKED: Final[Any] = {f"verify_{claim}": False for claim in ("aud", "iss", "exp", "nbf", "iat", "sub", "jti")}


class SessionRefused(TokenRefused):
    """Nobody is signed in, whatever was wrong: what exactly is nobody's business."""

    def __init__(self) -> None:
        super().__init__("Sign in at /auth/login, or with `zekt login`.")


class CrossSiteRefused(Refusal):
    """The request would change something and was not made by a page of ours."""

    def __init__(self) -> None:
        super().__init__(403, "cross_site_refused", "Requests from other sites are not taken with a session cookie.")


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A person who is signed in: the GitHub user id, and since when this session is."""

    account_id: int
    session_id: str
    began_at: datetime


class _Claims(msgspec.Struct):
    sub: str
    sid: str
    auth_time: float
    iat: float


class SessionVerifier:
    """Tells who is signed in; `public_url` is where people reach Zekt, and the issuer of every session."""

    def __init__(self, keys: SessionKeys, *, public_url: str, clock: Clock = utc_now) -> None:
        self._keys = keys
        self._public_url = public_url
        self._clock = clock

    async def verify(self, request: web.Request) -> Session:
        """Return whose session the request comes with. A bearer token wins over the cookie.

        Raises:
            SessionRefused: no session, or not one that counts now.
            CrossSiteRefused: the cookie came with a change that another site asked for.
            IssuerUnreachable: the keys cannot be had now.
        """
        authorization = request.headers.get("Authorization")
        if authorization is not None:
            return await self.session_of(_bearer(authorization))
        token = request.cookies.get(COOKIE, "")
        if not 0 < len(token) <= MAX_TOKEN_LENGTH:
            raise SessionRefused
        check_same_site(request.method, request.headers, self._public_url)
        return await self.session_of(token)

    async def session_of(self, token: str) -> Session:
        """Return whose session this is; see `verify`."""
        key_id = _key_id(token)
        known = await self._keys.key_set(key_id)
        claims = self._claims(token, key_id, known)
        session = Session(
            account_id=_account_id(claims.sub),
            session_id=claims.sid,
            began_at=datetime.fromtimestamp(claims.auth_time, UTC),
        )
        if _has_ended(session, known):
            raise SessionRefused
        return session

    def _claims(self, token: str, key_id: str, known: SessionKeySet) -> _Claims:
        jwk = next((key for key in known.keys if key.kid == key_id), None)
        if jwk is None:
            raise SessionRefused
        try:
            key = jwt.PyJWK(msgspec.to_builtins(jwk), algorithm=SESSION_ALGORITHM)
            claims = jwt.decode(token, key, algorithms=[SESSION_ALGORITHM], options=_UNCHECKED)
            if (claims.get("iss"), claims.get("aud")) != (self._public_url, SESSION_AUDIENCE):
                raise SessionRefused
            check_times(claims, self._clock(), LEEWAY_S)
            return msgspec.convert(claims, _Claims)
        except (jwt.PyJWTError, ValueError, RecursionError, msgspec.ValidationError, TokenRefused):
            raise SessionRefused from None


def check_same_site(method: str, headers: Mapping[str, str], public_url: str) -> None:
    """Pass a request that only reads, or that the browser says comes from our own origin.

    Raises:
        CrossSiteRefused: it comes from elsewhere, or nobody says from where.
    """
    if method in _SAFE_METHODS:
        return
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site is not None and site not in _OWN_SITE:
        raise CrossSiteRefused
    if origin is not None and origin != _origin(public_url):
        raise CrossSiteRefused
    if site is None and origin is None:
        raise CrossSiteRefused


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _bearer(authorization: str) -> str:
    try:
        return bearer_token(authorization)
    except TokenRefused:
        raise SessionRefused from None


def _key_id(token: str) -> str:
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise SessionRefused from None
    key_id = header.get("kid")
    if header.get("alg") != SESSION_ALGORITHM or not isinstance(key_id, str):
        raise SessionRefused
    return key_id


def _account_id(subject: str) -> int:
    if not (subject.isascii() and subject.isdigit()):
        raise SessionRefused
    return int(subject)


def _has_ended(session: Session, known: SessionKeySet) -> bool:
    account_end = known.ended_accounts.get(session.account_id)
    return session.session_id in known.ended_sessions or (account_end is not None and session.began_at <= account_end)
