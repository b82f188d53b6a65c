"""Codes of the device flow: one that the device polls with, and one that a person types in."""

import secrets
from dataclasses import dataclass

from zekt_sandbox.github.clock import Clock
from zekt_sandbox.github.errors import UnknownNameError
from zekt_sandbox.github.model import Account
from zekt_sandbox.github.oauth_messages import OAuthError

DEVICE_CODE_LIFE_S = 900
DEFAULT_INTERVAL_S = 5
_SLOWER_BY_S = 5
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_HALF = 4


@dataclass(slots=True)
class DeviceRequest:
    """A device that waits for a person; `person` None after the answer means that they declined."""

    device_code: str
    user_code: str
    expires_at: float
    interval_s: int
    answered: bool = False
    person: Account | None = None
    polled_at: float | None = None


class DeviceCodes:
    """The devices that wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._requests: dict[str, DeviceRequest] = {}
        self.interval_s = DEFAULT_INTERVAL_S
        self.enabled = True

    def open(self) -> DeviceRequest:
        """A new request, open for 15 minutes.

        Raises:
            OAuthError: the device flow is switched off.
        """
        if not self.enabled:
            raise OAuthError("device_flow_disabled", "Device Flow must be explicitly enabled for this App")
        expires_at = self._clock.now() + DEVICE_CODE_LIFE_S
        opened = DeviceRequest(secrets.token_hex(20), _user_code(), expires_at, self.interval_s)
        self._requests[opened.device_code] = opened
        return opened

    def answer(self, user_code: str, person: Account | None) -> None:
        """Let a person in whom the code was shown to authorise, or decline (None); good once.

        Raises:
            UnknownNameError: no device waits for that code, or no longer.
        """
        typed = user_code.strip().upper()
        waiting = (one for one in self._requests.values() if one.user_code == typed and not one.answered)
        found = next((one for one in waiting if one.expires_at > self._clock.now()), None)
        if found is None:
            raise UnknownNameError(f"no device waits for the code {user_code!r}")
        found.answered, found.person = True, person

    def poll(self, device_code: str) -> Account:
        """The person who authorised the device; the code is used up by that.

        Raises:
            OAuthError: nobody has yet, or it was asked too often, too late or for nothing.
        """
        found = self._requests.get(device_code)
        if found is None:
            raise OAuthError("incorrect_device_code", "The device_code provided is not valid.")
        now = self._clock.now()
        if found.expires_at <= now:
            raise OAuthError("expired_token", "The `device_code` has expired.")
        self._pace(found, now)
        if not found.answered:
            raise OAuthError("authorization_pending", "The authorization request is still pending.")
        del self._requests[device_code]
        if found.person is None:
            raise OAuthError("access_denied", "The authorization request was denied.")
        return found.person

    def _pace(self, request: DeviceRequest, now: float) -> None:
        last, request.polled_at = request.polled_at, now
        if last is not None and now < last + request.interval_s:
            request.interval_s += _SLOWER_BY_S
            raise OAuthError(
                "slow_down", "Too many requests have been made in the same timeframe.", {"interval": request.interval_s}
            )


def _user_code() -> str:
    first, second = ("".join(secrets.choice(_LETTERS) for _ in range(_HALF)) for _ in range(2))
    return f"{first}-{second}"
