"""Installation tokens by scope: kept until shortly before they expire, fetched once however many ask at once."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import structlog

from zekt_common.clock import Clock, utc_now
from zekt_common.contracts.identity import InstallationToken
from zekt_common.telemetry.metrics import TOKENS_LOOKED_UP
from zekt_identity.circuit import Circuit
from zekt_identity.github_app import GitHubRefused, GitHubUnavailable, IssuedToken
from zekt_identity.scopes import ById, Scope

RENEW_BEFORE: Final = timedelta(minutes=5)
USABLE_UNTIL: Final = timedelta(minutes=1)
MAX_KEPT: Final = 10_000
CONCURRENT_FETCHES: Final = 20

Issue = Callable[[Scope], Awaitable[tuple[int, IssuedToken]]]

log = structlog.get_logger()


class TokenCache:
    """Tokens of this process; another replica keeps its own."""

    def __init__(
        self,
        issue: Issue,
        *,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        max_kept: int = MAX_KEPT,
    ) -> None:
        self._issue = issue
        self._clock = clock
        self._circuit = Circuit(monotonic)
        self._max_kept = max_kept
        self._kept: OrderedDict[Scope, InstallationToken] = OrderedDict()
        self._places = asyncio.Semaphore(CONCURRENT_FETCHES)
        self._fetching: dict[Scope, asyncio.Task[InstallationToken]] = {}

    async def look_up(self, scope: Scope, *, rejected_sha256: str | None = None) -> InstallationToken:
        """Return a token of the scope that lives for minutes yet, and is not the one that GitHub has rejected.

        Raises:
            GitHubRefused: GitHub gives no such token.
            GitHubUnavailable: not now.
        """
        kept = self._usable(scope, RENEW_BEFORE, rejected_sha256)
        if kept is not None:
            self._kept.move_to_end(scope)
            TOKENS_LOOKED_UP.add(outcome="cached")
            return kept
        try:
            return await asyncio.shield(self._fetch(scope))
        except GitHubUnavailable:
            kept = self._usable(scope, USABLE_UNTIL, rejected_sha256)
            TOKENS_LOOKED_UP.add(outcome="unavailable" if kept is None else "cached")
            if kept is None:
                raise
            return kept
        except GitHubRefused:
            TOKENS_LOOKED_UP.add(outcome="refused")
            raise

    def _usable(self, scope: Scope, margin: timedelta, rejected_sha256: str | None) -> InstallationToken | None:
        kept = self._kept.get(scope)
        if kept is None or kept.expires_at - margin <= self._clock():
            return None
        if rejected_sha256 is not None and hashlib.sha256(kept.token.encode()).hexdigest() == rejected_sha256:
            del self._kept[scope]
            return None
        return kept

    def _fetch(self, scope: Scope) -> asyncio.Task[InstallationToken]:
        """Return the one fetch under way for the scope; it goes on though its callers be cancelled."""
        under_way = self._fetching.get(scope)
        if under_way is None:
            under_way = self._fetching[scope] = asyncio.create_task(self._fetch_now(scope))
            under_way.add_done_callback(lambda task: self._fetched(scope, task))
        return under_way

    def _fetched(self, scope: Scope, task: asyncio.Task[InstallationToken]) -> None:
        del self._fetching[scope]
        if task.cancelled() or task.exception() is not None:
            return
        self._kept[scope] = task.result()
        self._kept.move_to_end(scope)
        while len(self._kept) > self._max_kept:
            self._kept.popitem(last=False)

    async def _fetch_now(self, scope: Scope) -> InstallationToken:
        """Fetch once there is a place: whoever waited finds out then whether GitHub has begun to fail meanwhile."""
        async with self._places:
            return await self._fetch_in_place(scope)

    async def _fetch_in_place(self, scope: Scope) -> InstallationToken:
        blocked_s = self._circuit.blocked_for_s()
        if blocked_s:
            raise GitHubUnavailable("GitHub has been failing and is left alone for a while", pause_s=blocked_s)
        try:
            installation_id, issued = await self._issue(scope)
        except GitHubRefused:
            self._circuit.succeeded()
            raise
        except GitHubUnavailable as error:
            self._circuit.failed(error.pause_s)
            raise
        except BaseException:
            self._circuit.failed()
            raise
        self._circuit.succeeded()
        TOKENS_LOOKED_UP.add(outcome="fetched")
        return _checked(scope, installation_id, issued)


def _checked(scope: Scope, installation_id: int, issued: IssuedToken) -> InstallationToken:
    """Return the token if it is for exactly the repositories asked for, whatever GitHub meant."""
    ids = sorted(repository.id for repository in issued.repositories)
    if len(ids) != 1 if not isinstance(scope, ById) else ids != list(scope.repository_ids):
        raise GitHubUnavailable("GitHub issued a token for other repositories than asked for")
    log.info("installation_token_fetched", installation_id=installation_id, repositories=len(ids))
    return InstallationToken(
        token=issued.token,
        expires_at=issued.expires_at,
        installation_id=installation_id,
        account_id=issued.repositories[0].owner.id,
        repository_ids=ids,
    )
