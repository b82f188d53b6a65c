"""Signing in with GitHub: the browser takes a sealed note of the attempt along, so that any replica can finish it.

The session is named for the attempt's state, and can begin once: a replayed callback finds it spent.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from zekt_common.auth.sessions import Session
from zekt_common.clock import Clock, utc_now
from zekt_common.errors import KeyDestroyed, ZektError
from zekt_common.kit.rate_limit import RateLimit
from zekt_identity.account import Order, TenuresSpent
from zekt_identity.accounts import Accounts
from zekt_identity.github_oauth import GitHubOAuth, UserTokens
from zekt_identity.sealing import OWN_KEY, SealBroken, Sealer
from zekt_identity.session import SignInMethod
from zekt_identity.sessions import Sessions
from zekt_identity.sign_in_limit import check_rate
from zekt_identity.user_tokens import StoredTokens, UserTokenVault

ATTEMPT_LIFE: Final = timedelta(minutes=10)
SIGN_INS_PER_S: Final = 1 / 300
SIGN_INS_AT_ONCE: Final = 30
"""Of one person, from wherever: each leaves events, in their account too if they sign out everywhere or leave."""
CALLBACK_PATH: Final = "/auth/callback"
_PURPOSE: Final = "sign-in attempt"
_LOCAL_PATH: Final = re.compile(r"/(?![/\\])[A-Za-z0-9._~!$&'()*+,;=:@%/?-]{0,1000}\Z")


class AttemptRefused(ZektError):
    """The callback does not belong to a sign-in that this browser has begun within the last ten minutes."""


class ReturnRefused(ZektError):
    """The page to return to is not one of ours."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be remembered between asking GitHub and its answer."""

    state: str
    verifier: str
    return_to: str
    expires_at: datetime


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """Where the browser goes, and the note that it takes along."""

    url: str
    note: str


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """Who has signed in, the session's first token, and where the browser wanted to go."""

    account_id: int
    token: str
    return_to: str

    def __repr__(self) -> str:
        return f"SignedIn(account_id={self.account_id})"


class SignIn:
    """Takes people to GitHub and back."""

    def __init__(  # noqa: PLR0913 - everything a sign-in touches
        self,
        oauth: GitHubOAuth,
        accounts: Accounts,
        vault: UserTokenVault,
        sessions: Sessions,
        sealer: Sealer,
        *,
        public_url: str,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._of_person = RateLimit(per_s=SIGN_INS_PER_S, burst=SIGN_INS_AT_ONCE, monotonic=monotonic)
        self._oauth = oauth
        self._accounts = accounts
        self._vault = vault
        self._sessions = sessions
        self._sealer = sealer
        self._redirect_uri = f"{public_url}{CALLBACK_PATH}"
        self._clock = clock

    async def begin(self, return_to: str) -> Begun:
        """Return where to send the browser.

        Raises:
            ReturnRefused: `return_to` is no path of ours.
        """
        if not is_local_path(return_to):
            raise ReturnRefused("the page to return to must be a path of this site")
        attempt = Attempt(
            state=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            return_to=return_to,
            expires_at=self._clock() + ATTEMPT_LIFE,
        )
        url = self._oauth.authorize_url(state=attempt.state, verifier=attempt.verifier, redirect_uri=self._redirect_uri)
        sealed = await self._sealer.seal(OWN_KEY, _PURPOSE, msgspec.json.encode(attempt))
        return Begun(url=url, note=base64.urlsafe_b64encode(sealed).decode())

    async def finish(self, *, code: str, state: str, note: str, origin: str) -> SignedIn:
        """Return the session that the code from GitHub leads to.

        Raises:
            AttemptRefused: state and note do not belong together, or are too old; or the person has left meanwhile.
            GrantRefused: GitHub does not take the code.
            SessionSpent: the attempt was finished before.
            GitHubUnavailable: GitHub cannot be asked now.
            GitHubRefused: GitHub does not say who it is.
        """
        attempt = await self._attempt(note)
        if not state or not hmac.compare_digest(state.encode(), attempt.state.encode()):
            raise AttemptRefused("the state is not the one of this browser's sign-in")
        tokens = await self._oauth.exchange(code, verifier=attempt.verifier, redirect_uri=self._redirect_uri)
        session_id = session_id_of(attempt.state)
        account_id, token = await self.establish(session_id, tokens, origin=origin, method="browser")
        return SignedIn(account_id=account_id, token=token, return_to=attempt.return_to)

    async def establish(
        self, session_id: str, tokens: UserTokens, *, origin: str, method: SignInMethod
    ) -> tuple[int, str]:
        """Begin the session of whoever the tokens belong to; return the account id and the session's first token.

        Raises:
            AttemptRefused: the person has left meanwhile, or too often.
            Refusal: 429, the person has signed in too often.
            SessionSpent: the session has begun before.
            GitHubUnavailable: GitHub cannot be asked now.
            GitHubRefused: GitHub does not say who it is.
        """
        person = await self._oauth.person(tokens.access_token)
        check_rate(self._of_person, person.id)
        order = Order(account_id=person.id, actor=str(person.id), origin=origin, at=self._clock())
        try:
            account = await self._accounts.link(order)
        except TenuresSpent as error:
            raise AttemptRefused(str(error)) from None
        token = await self._sessions.begin(session_id, person.id, origin=origin, method=method)
        try:
            await self._vault.keep(person.id, account.key, StoredTokens(login=person.login, tokens=tokens))
        except KeyDestroyed:
            begun = Session(account_id=person.id, session_id=session_id, began_at=order.at)
            await self._sessions.end(begun, origin=origin)
            raise AttemptRefused("the account was left meanwhile") from None
        return person.id, token

    async def _attempt(self, note: str) -> Attempt:
        try:
            content = await self._sealer.open(OWN_KEY, _PURPOSE, base64.urlsafe_b64decode(note.encode()))
        except (SealBroken, binascii.Error, ValueError):
            raise AttemptRefused("no sign-in has begun in this browser") from None
        attempt = msgspec.json.decode(content, type=Attempt)
        if attempt.expires_at <= self._clock():
            raise AttemptRefused("the sign-in has taken too long")
        return attempt


def is_local_path(value: str) -> bool:
    """Return whether a browser that is sent there stays on this site."""
    return _LOCAL_PATH.match(value) is not None


def session_id_of(state: str) -> str:
    """Return the one session that a sign-in with this state can begin."""
    return hashlib.sha256(state.encode()).hexdigest()[:32]
