"""What people may do with repositories, as GitHub tells them themselves; believed for half a minute."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from zekt_common.auth.authorisation import RepositoryHidden, Standing, check_admin
from zekt_identity.github_app import GitHubRefused
from zekt_identity.github_person import NOT_FOUND, GitHubAsPerson
from zekt_identity.ledger import Ledger
from zekt_identity.repository import REPOSITORY, stream_of

BELIEVED_S: Final = 30.0
MAX_KEPT: Final = 10_000
_PURPOSE: Final = "check rights in a repository"

_Key = tuple[int, int]


class _Permissions(msgspec.Struct, frozen=True):
    admin: bool = False


class _Owner(msgspec.Struct, frozen=True):
    id: int


class SeenRepository(msgspec.Struct, frozen=True):
    """A repository as GitHub shows it to one person."""

    id: int
    full_name: str
    owner: _Owner
    private: bool = True
    archived: bool = False
    permissions: _Permissions = _Permissions()

    @property
    def standing(self) -> Standing:
        """What the person may do there."""
        return Standing(is_admin=self.permissions.admin)


class RepositoryAccess:
    """Asks GitHub with the person's own token, once however many ask; what GitHub does not answer is not believed."""

    def __init__(
        self, github: GitHubAsPerson, ledger: Ledger, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._github = github
        self._ledger = ledger
        self._monotonic = monotonic
        self._kept: OrderedDict[_Key, tuple[float, asyncio.Task[SeenRepository | None]]] = OrderedDict()

    async def administered(self, account_id: int, repository_id: int) -> SeenRepository:
        """Return the repository, which the person administers and the App is installed in.

        Raises:
            RepositoryHidden: the person does not see it, or the App does not.
            AdminNeeded: the person sees it, and does not administer it.
            SignInNeeded: there is no token of theirs that works.
            GitHubUnavailable: not now.
        """
        seen = await self._seen(account_id, repository_id)  # first: only who sees it learns whether the App is there
        if seen is not None and not await self._is_covered(repository_id):
            seen = None
        check_admin(None if seen is None else seen.standing)
        if seen is None:
            raise RepositoryHidden
        return seen

    def forget(self, account_id: int) -> None:
        """Ask anew about this person: something has changed for them."""
        for key in [key for key in self._kept if key[0] == account_id]:
            del self._kept[key]

    async def _is_covered(self, repository_id: int) -> bool:
        facts = (await self._ledger.load(REPOSITORY, stream_of(repository_id))).facts
        return facts is not None and facts.status == "covered"

    async def _seen(self, account_id: int, repository_id: int) -> SeenRepository | None:
        key, now = (account_id, repository_id), self._monotonic()
        until, task = self._kept.get(key, (0.0, None))
        if task is None or until <= now:
            task = asyncio.create_task(self._ask(account_id, repository_id))
            task.add_done_callback(lambda done: self._forget_failed(key, done))
            self._kept[key] = (now + BELIEVED_S, task)
            self._kept.move_to_end(key)
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return await asyncio.shield(task)

    async def _ask(self, account_id: int, repository_id: int) -> SeenRepository | None:
        try:
            return await self._github.get(
                account_id, f"/repositories/{repository_id}", SeenRepository, purpose=_PURPOSE
            )
        except GitHubRefused as error:
            if error.code == NOT_FOUND:
                return None
            raise

    def _forget_failed(self, key: _Key, done: asyncio.Task[SeenRepository | None]) -> None:
        failed = done.cancelled() or done.exception() is not None
        if failed and self._kept.get(key, (0.0, None))[1] is done:
            del self._kept[key]
