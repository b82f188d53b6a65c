"""Codes of the OAuth web flow: good once, for ten minutes, for who holds the PKCE verifier."""

import base64
import hashlib
import secrets
from dataclasses import dataclass

from zekt_sandbox.github.clock import Clock
from zekt_sandbox.github.model import Account
from zekt_sandbox.github.oauth_messages import OAuthError

CODE_LIFE_S = 600


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """What a code stands for."""

    person: Account
    redirect_uri: str
    challenge: str | None
    expires_at: float


class AuthorizationCodes:
    """The codes that were issued and not yet used."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._codes: dict[str, AuthorizationCode] = {}

    def issue(self, person: Account, redirect_uri: str, challenge: str | None) -> str:
        """A new code; `challenge` is the S256 one of the client's PKCE verifier."""
        code = secrets.token_hex(10)
        self._codes[code] = AuthorizationCode(person, redirect_uri, challenge, self._clock.now() + CODE_LIFE_S)
        return code

    def redeem(self, code: str, *, redirect_uri: str | None, verifier: str | None) -> Account:
        """The person who authorised; a code is used up by the first try, even by a failed one.

        Raises:
            OAuthError: the code, the verifier or the redirect URI is wrong.
        """
        found = self._codes.pop(code, None)
        if found is None or found.expires_at <= self._clock.now() or found.challenge != challenge_of(verifier):
            raise OAuthError("bad_verification_code", "The code passed is incorrect or expired.")
        if redirect_uri not in (None, found.redirect_uri):
            raise redirect_uri_mismatch()
        return found.person


def challenge_of(verifier: str | None) -> str | None:
    """The S256 challenge of a PKCE verifier."""
    if not verifier:
        return None
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def redirect_uri_mismatch() -> OAuthError:
    """What GitHub answers to a redirect URI that is not registered, or not the one of the first step."""
    return OAuthError(
        "redirect_uri_mismatch", "The redirect_uri MUST match the registered callback URL for this application."
    )
