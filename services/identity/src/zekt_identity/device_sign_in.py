"""Signing in where there is no browser: GitHub shows a code to type in, and the device asks until that was done.

As in a browser, a sealed note of the attempt stays with who began it, and the session can begin once.
"""

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from zekt_common.clock import Clock, utc_now
from zekt_identity.github_oauth import GitHubOAuth, GrantRefused
from zekt_identity.sealing import OWN_KEY, SealBroken, Sealer
from zekt_identity.sign_in import AttemptRefused, SignIn, session_id_of

_PURPOSE: Final = "device sign-in attempt"


class Waiting(StrEnum):
    """Why there is no session yet, in GitHub's words."""

    PENDING = "authorization_pending"
    SLOW_DOWN = "slow_down"
    """The device asks too often: five seconds more between two questions from now on."""


class DeviceAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be remembered between the device's questions."""

    device_code: str
    expires_at: datetime


class DeviceBegun(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the device shows, how often it may ask, and the note that it asks with."""

    user_code: str
    verification_url: str
    expires_in_s: int
    interval_s: int
    note: str


@dataclass(frozen=True, kw_only=True)
class DeviceSignedIn:
    """Who has signed in, and the session's first token, which the repr never shows."""

    account_id: int
    token: str

    def __repr__(self) -> str:
        return f"DeviceSignedIn(account_id={self.account_id})"


class DeviceSignIn:
    """Begins attempts, and asks GitHub how they stand."""

    def __init__(self, oauth: GitHubOAuth, sign_in: SignIn, sealer: Sealer, *, clock: Clock = utc_now) -> None:
        self._oauth = oauth
        self._sign_in = sign_in
        self._sealer = sealer
        self._clock = clock

    async def begin(self) -> DeviceBegun:
        """Return what to show.

        Raises:
            GrantRefused: the App does not have the device flow switched on, or GitHub does not know the client.
            GitHubRefused: likewise.
            GitHubUnavailable: GitHub cannot be asked now.
        """
        codes = await self._oauth.device_codes()
        attempt = DeviceAttempt(
            device_code=codes.device_code, expires_at=self._clock() + timedelta(seconds=codes.expires_in)
        )
        sealed = await self._sealer.seal(OWN_KEY, _PURPOSE, msgspec.json.encode(attempt))
        return DeviceBegun(
            user_code=codes.user_code,
            verification_url=codes.verification_uri,
            expires_in_s=codes.expires_in,
            interval_s=codes.interval,
            note=base64.urlsafe_b64encode(sealed).decode(),
        )

    async def poll(self, note: str, *, origin: str) -> DeviceSignedIn | Waiting:
        """Return the session if the person has said yes by now.

        Raises:
            AttemptRefused: the note is not ours, or the person has left meanwhile.
            GrantRefused: the person said no, took too long, or the code is spent.
            SessionSpent: the attempt was finished before.
            GitHubUnavailable: GitHub cannot be asked now.
            GitHubRefused: GitHub does not say who it is.
        """
        attempt = await self._attempt(note)
        if attempt.expires_at <= self._clock():
            raise GrantRefused("expired_token")
        try:
            tokens = await self._oauth.exchange_device(attempt.device_code)
        except GrantRefused as error:
            if error.code in list(Waiting):
                return Waiting(error.code)
            raise
        session_id = session_id_of(attempt.device_code)
        account_id, token = await self._sign_in.establish(session_id, tokens, origin=origin, method="device")
        return DeviceSignedIn(account_id=account_id, token=token)

    async def _attempt(self, note: str) -> DeviceAttempt:
        try:
            content = await self._sealer.open(OWN_KEY, _PURPOSE, base64.urlsafe_b64decode(note.encode()))
        except (SealBroken, binascii.Error, ValueError):
            raise AttemptRefused("no sign-in has begun on this device") from None
        return msgspec.json.decode(content, type=DeviceAttempt)
