"""`/auth/device`: signing in from a command line, which gets a session and never sees a token of GitHub's."""

import time
from collections.abc import Callable
from typing import Final

import msgspec
from aiohttp import web

from zekt_common.auth.origin import origin_of
from zekt_common.auth.requirements import SigningIn
from zekt_common.kit.errors import Refusal, json_response
from zekt_common.kit.json_body import json_body
from zekt_common.kit.rate_limit import RateLimit
from zekt_common.kit.service import Route
from zekt_identity.auth_http import PRIVATE, github_unavailable, log_refusal, sign_in_off
from zekt_identity.device_sign_in import DeviceSignedIn, DeviceSignIn, Waiting
from zekt_identity.github_app import GitHubRefused, GitHubUnavailable
from zekt_identity.github_oauth import GrantRefused
from zekt_identity.session import SessionSpent
from zekt_identity.sign_in import AttemptRefused
from zekt_identity.sign_in_limit import SignInLimit, check_rate

BEGIN_PER_S: Final = 0.1
BEGIN_BURST: Final = 10
PER_S_OF_ALL: Final = 5.0
BURST_OF_ALL: Final = 100
POLLS_PER_S: Final = 2.0
POLLS_BURST: Final = 60
"""Ten devices of one network that ask every five seconds, with room for those that have just begun."""
_MAX_BODY_BYTES: Final = 4096
_AGAIN: Final = "Begin again with `zekt login`."
_REFUSED: Final = ("sign_in_refused", "The sign-in was not completed.")
_REFUSALS: Final = {
    "access_denied": ("sign_in_denied", "The sign-in was declined at GitHub."),
    "expired_token": ("sign_in_expired", "The code was not typed in at GitHub in time."),
}


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    note: str


class DeviceDoor:
    """The routes; `device` is asked for on each request, and is None without an OAuth client.

    Each call has GitHub asked, so they are limited for each network, and beginning for all together too.
    """

    def __init__(
        self, device: Callable[[], DeviceSignIn | None], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._device = device
        self._begins = SignInLimit(per_s=BEGIN_PER_S, burst=BEGIN_BURST, monotonic=monotonic)
        self._polls = SignInLimit(per_s=POLLS_PER_S, burst=POLLS_BURST, monotonic=monotonic)
        self._of_all = RateLimit(per_s=PER_S_OF_ALL, burst=BURST_OF_ALL, monotonic=monotonic)

    def routes(self) -> list[Route]:
        """Return both: beginning, and asking whether the person has said yes."""
        begin, poll = ("/auth/device", self.begin), ("/auth/device/poll", self.poll)
        return [
            Route(method="POST", path=path, handler=handler, requires=SigningIn(), max_body_bytes=_MAX_BODY_BYTES)
            for path, handler in (begin, poll)
        ]

    async def begin(self, request: web.Request) -> web.Response:
        """Return the code that the person types in at GitHub, where, and the note to ask with."""
        sign_in = self._sign_in()
        self._begins.check(request)
        check_rate(self._of_all, "")
        try:
            return json_response(await sign_in.begin(), headers=PRIVATE)
        except (GrantRefused, GitHubRefused) as error:
            log_refusal(error)
            detail = "GitHub does not let this App sign devices in: check its client id, and enable its device flow."
            raise Refusal(404, "device_sign_in_off", detail) from None
        except GitHubUnavailable as error:
            raise github_unavailable(error) from None

    async def poll(self, request: web.Request) -> web.Response:
        """Return the session, or 202 as long as the person has not said yes."""
        self._polls.check(request)
        outcome = await self._outcome(json_body(await request.read(), _Asked).note, origin_of(request))
        if isinstance(outcome, Waiting):
            return json_response({"status": outcome}, status=202, headers=PRIVATE)
        return json_response({"accountId": outcome.account_id, "token": outcome.token}, headers=PRIVATE)

    async def _outcome(self, note: str, origin: str) -> DeviceSignedIn | Waiting:
        try:
            return await self._sign_in().poll(note, origin=origin)
        except GrantRefused as error:
            log_refusal(error)
            raise _refused(*_REFUSALS.get(error.code, _REFUSED)) from None
        except (AttemptRefused, GitHubRefused, SessionSpent) as error:
            log_refusal(error)
            raise _refused(*_REFUSED) from None
        except GitHubUnavailable as error:
            raise github_unavailable(error) from None

    def _sign_in(self) -> DeviceSignIn:
        device = self._device()
        if device is None:
            raise sign_in_off()
        return device


def _refused(code: str, reason: str) -> Refusal:
    return Refusal(403, code, f"{reason} {_AGAIN}")
