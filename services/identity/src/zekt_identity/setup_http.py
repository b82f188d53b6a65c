"""`/auth/setup`: where GitHub sends people who have installed the App, and where they go on from there.

Anybody can write such a link, so what it says is only asked about: GitHub tells with the person's own token whether the
installation is one that they see.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import structlog
from aiohttp import web

from zekt_common.auth.requirements import SigningIn
from zekt_common.auth.sessions import SessionRefused, SessionVerifier
from zekt_common.kit.errors import Refusal
from zekt_common.kit.rate_limit import RateLimit
from zekt_common.kit.service import Route
from zekt_identity.acting import acting
from zekt_identity.audited import SESSION
from zekt_identity.auth_http import PRIVATE, sign_in_off
from zekt_identity.github_app import GitHubRefused, GitHubUnavailable
from zekt_identity.installations import Installations
from zekt_identity.person_repositories import PersonRepositories
from zekt_identity.repositories_http import INSTALLATIONS
from zekt_identity.repository_access import RepositoryAccess
from zekt_identity.sign_in import is_local_path

SETUP_PATH: Final = "/auth/setup"
PER_S_OF_PERSON: Final = 1 / 60
BURST_OF_PERSON: Final = 5
_TAKEN_ALONG: Final = ("installation_id", "setup_action", "state")
_LONGEST: Final = 200

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class SetupDesk:
    """What the route works with."""

    verifier: SessionVerifier
    repositories: PersonRepositories
    access: RepositoryAccess
    installations: Installations
    is_sign_in_on: bool


class SetupDoor:
    """The route; `desk` is asked for on each request, since it exists only while the service runs.

    Landing looks at the installation at GitHub as the App, whose limits are shared, so it is limited for each person.
    """

    def __init__(self, desk: Callable[[], SetupDesk], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._desk = desk
        self._of_person = RateLimit(per_s=PER_S_OF_PERSON, burst=BURST_OF_PERSON, monotonic=monotonic)

    def routes(self) -> list[Route]:
        """Return it."""
        return [Route(method="GET", path=SETUP_PATH, handler=self.set_up, requires=SigningIn(), max_body_bytes=1024)]

    async def set_up(self, request: web.Request) -> web.Response:
        """Send the person on to what they have installed; `state` may name another page of this site."""
        try:
            session = request[SESSION] = await self._desk().verifier.verify(request)
        except SessionRefused:
            return self._sign_in_first(request)
        wanted = request.query.get("state", "")
        installation_id = _number(request.query.get("installation_id", ""))
        landing = "/" if installation_id is None else await self._installed(session.account_id, installation_id)
        return _redirect(wanted if wanted and is_local_path(wanted) else landing)

    async def _installed(self, account_id: int, installation_id: int) -> str:
        """Return the page of the installation's one repository, or of all of them, and look at it at GitHub."""
        desk = self._desk()
        if wait_s := self._of_person.wait_s(account_id):
            detail = f"You have come back from installing the App often in a short time: wait {wait_s} s."
            raise Refusal(429, "too_many_setups", detail, headers={"Retry-After": str(wait_s)})
        with acting():
            seen = await desk.repositories.repositories(account_id, installation_id, 1)
        desk.access.forget(account_id)
        try:
            await desk.installations.refresh(installation_id)
        except (
            GitHubUnavailable,
            GitHubRefused,
        ) as error:  # its webhook, or the next look at all of them, tells it too
            log.warning("installation_not_refreshed", installation_id=installation_id, reason=type(error).__name__)
        if len(seen) == 1:
            return f"/api/account/repositories/{seen[0].id}"
        return f"{INSTALLATIONS}/{installation_id}/repositories"

    def _sign_in_first(self, request: web.Request) -> web.Response:
        if not self._desk().is_sign_in_on:
            raise sign_in_off()
        taken = {name: request.query[name][:_LONGEST] for name in _TAKEN_ALONG if name in request.query}
        return _redirect(f"/auth/login?{urlencode({'return_to': f'{SETUP_PATH}?{urlencode(taken)}'})}")


def _number(value: str) -> int | None:
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 18 else None  # noqa: PLR2004 - 64 bits


def _redirect(location: str) -> web.Response:
    return web.Response(status=303, headers={"Location": location, **PRIVATE})
