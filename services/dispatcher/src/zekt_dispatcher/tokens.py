"""Installation tokens, kept until shortly before they expire: hundreds of dispatches a second, one look-up an hour."""

import asyncio
import hashlib
from datetime import timedelta
from typing import Final

from zekt_common.clock import Clock, utc_now
from zekt_common.contracts.identity import InstallationToken, InstallationTokenRequest
from zekt_common.kit.identity_client import InstallationTokens

EARLY: Final = timedelta(minutes=2)
MAX_KEPT: Final = 10_000
PERMISSIONS: Final = {"contents": "write"}

Scope = tuple[int, int]
"""Installation id and target repository id."""


class DispatchTokens:
    """Tokens that may dispatch to one repository each. Whoever asks while a look-up is under way shares it."""

    def __init__(self, identity: InstallationTokens, *, clock: Clock = utc_now) -> None:
        self._identity = identity
        self._clock = clock
        self._kept: dict[Scope, InstallationToken] = {}
        self._looking_up: dict[Scope, asyncio.Task[InstallationToken]] = {}
        self._rejected: dict[Scope, str] = {}

    async def token(self, installation_id: int, repository_id: int) -> str:
        """Return a token for dispatches to this repository.

        Raises:
            TokensUnavailable: not now.
            TokensRefused: not at all.
        """
        scope = (installation_id, repository_id)
        kept = self._kept.get(scope)
        if kept is not None and kept.expires_at - self._clock() > EARLY:
            return kept.token
        task = self._looking_up.get(scope)
        if task is None:
            task = self._looking_up[scope] = asyncio.create_task(self._look_up(scope))
            task.add_done_callback(lambda done: self._looked_up(scope, done))
        return (await asyncio.shield(task)).token

    def reject(self, installation_id: int, repository_id: int, token: str) -> None:
        """Forget this token, which GitHub did not accept, and have identity forget it with the next look-up."""
        scope = (installation_id, repository_id)
        kept = self._kept.get(scope)
        if kept is not None and kept.token == token:
            del self._kept[scope]
            self._rejected[scope] = hashlib.sha256(token.encode()).hexdigest()

    async def close(self) -> None:
        """End look-ups under way."""
        tasks = list(self._looking_up.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_up(self, scope: Scope) -> InstallationToken:
        installation_id, repository_id = scope
        request = InstallationTokenRequest(
            installation_id=installation_id,
            repository_ids=[repository_id],
            permissions=PERMISSIONS,
            purpose="dispatch",
            rejected_sha256=self._rejected.get(scope),
        )
        found = await self._identity.token(request)
        self._rejected.pop(scope, None)
        return found

    def _looked_up(self, scope: Scope, task: asyncio.Task[InstallationToken]) -> None:
        del self._looking_up[scope]
        if task.cancelled() or task.exception() is not None:
            return
        if len(self._kept) >= MAX_KEPT:
            self._make_room()
        self._kept[scope] = task.result()

    def _make_room(self) -> None:
        now = self._clock()
        self._kept = {scope: token for scope, token in self._kept.items() if token.expires_at - now > EARLY}
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
