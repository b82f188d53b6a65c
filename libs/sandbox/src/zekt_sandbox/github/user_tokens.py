"""User access tokens: issued in pairs with a refresh token, rotated by it, revoked together."""

import secrets
import string
from dataclasses import dataclass, field

from zekt_sandbox.github.clock import Clock
from zekt_sandbox.github.model import Account
from zekt_sandbox.github.oauth_messages import OAuthError, incorrect_client

USER_TOKEN_LIFE_S = 28_800
REFRESH_TOKEN_LIFE_S = 15_897_600
_ALPHABET = string.ascii_letters + string.digits
_TOKEN_CHARACTERS, _REFRESH_CHARACTERS = 36, 76


@dataclass(slots=True)
class UserToken:
    """A user access token with its refresh token; times are Unix seconds."""

    value: str = field(repr=False)
    refresh_value: str = field(repr=False)
    person: Account
    expires_at: float
    refresh_expires_at: float
    life_s: int = USER_TOKEN_LIFE_S
    by_device: bool = False
    revoked: bool = False


class UserTokens:
    """The pairs that were issued, found by either half."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.life_s: int = USER_TOKEN_LIFE_S
        self._by_value: dict[str, UserToken] = {}
        self._by_refresh_value: dict[str, UserToken] = {}

    def issue(self, person: Account, *, by_device: bool = False) -> UserToken:
        """A new pair for a person: 8 hours, or what `life_s` says, and 6 months."""
        now = self._clock.now()
        token = UserToken(
            value="ghu_" + _random(_TOKEN_CHARACTERS),
            refresh_value="ghr_" + _random(_REFRESH_CHARACTERS),
            person=person,
            expires_at=now + self.life_s,
            refresh_expires_at=now + REFRESH_TOKEN_LIFE_S,
            life_s=self.life_s,
            by_device=by_device,
        )
        self._by_value[token.value] = self._by_refresh_value[token.refresh_value] = token
        return token

    def find(self, value: str) -> UserToken | None:
        """The token, if it works now."""
        token = self._by_value.get(value)
        return token if token is not None and not token.revoked and token.expires_at > self._clock.now() else None

    def values(self) -> frozenset[str]:
        """Both halves of every pair that was ever issued."""
        return frozenset(self._by_value) | frozenset(self._by_refresh_value)

    def refresh(self, refresh_value: str, *, with_secret: bool) -> UserToken:
        """A new pair for an old one, of which both halves stop working.

        Raises:
            OAuthError: the refresh token is unknown, used, revoked or expired, or the client secret is missing.
        """
        old = self._by_refresh_value.get(refresh_value)
        if old is None or old.revoked or old.refresh_expires_at <= self._clock.now():
            raise OAuthError("bad_refresh_token", "The refresh token passed is incorrect or expired.")
        if not (with_secret or old.by_device):
            raise incorrect_client()
        old.revoked = True
        return self.issue(old.person, by_device=old.by_device)

    def revoke_all(self, person: Account) -> int:
        """Revoke every pair of a person; returns how many were not revoked until now."""
        live = [token for token in self._by_value.values() if token.person is person and not token.revoked]
        for token in live:
            token.revoked = True
        return len(live)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
