"""Controls over repositories that tell the hooks, as GitHub does."""

from typing import Any

from zekt_sandbox.github.app_events import former_name, former_owner
from zekt_sandbox.github.directory import DirectoryControls
from zekt_sandbox.github.model import HookDelivery, Repository
from zekt_sandbox.github.state import ANYBODY


class RepositoryLifecycle(DirectoryControls):
    """Renames, moves, archives and deletes repositories; `by` is the login of who does it, made if unknown."""

    async def rename_repository(self, full_name: str, name: str, *, by: str = ANYBODY) -> list[HookDelivery]:
        """Give a repository another name, without the owner: `repository` renamed.

        Raises:
            UnknownNameError: there is no such repository.
            InvalidControlError: the name is taken.
        """
        repository = self._state.repository(full_name)
        former = repository.name
        self._state.move_repository(repository, repository.owner, name)
        return await self._tell("renamed", repository, by, former_name(former))

    async def archive_repository(self, full_name: str, *, by: str = ANYBODY) -> list[HookDelivery]:
        """Make a repository read-only: `repository` archived.

        Raises:
            UnknownNameError: there is no such repository.
        """
        return await self._tell("archived", self.update_repository(full_name, archived=True), by)

    async def unarchive_repository(self, full_name: str, *, by: str = ANYBODY) -> list[HookDelivery]:
        """Make a repository writable again: `repository` unarchived.

        Raises:
            UnknownNameError: there is no such repository.
        """
        return await self._tell("unarchived", self.update_repository(full_name, archived=False), by)

    async def transfer_repository(self, full_name: str, owner: str, *, by: str = ANYBODY) -> list[HookDelivery]:
        """Give a repository to another account: `repository` transferred, to who hears of it there.

        The App hears `installation_repositories` removed from the old account and added in the new one, where it is
        installed.

        Raises:
            UnknownNameError: there is no such repository or account.
            InvalidControlError: the new owner has one of that name.
        """
        repository, actor = self._state.repository(full_name), self._state.actor(by)
        before, former = self._state.installation_of(repository), repository.owner
        self._state.move_repository(repository, self._state.account(owner), repository.name)
        if before is not None and before.selected is not None:
            before.selected.discard(repository.id)
        told = self._core.announcer.repository("transferred", repository, actor, former_owner(former))
        after = self._state.installation_of(repository)
        if before is not None:
            told += self._core.announcer.selection(before, actor, removed=[repository])
        if after is not None:
            told += self._core.announcer.selection(after, actor, added=[repository])
        return await self._core.sender.send_all(told)

    async def delete_repository(self, full_name: str, *, by: str = ANYBODY) -> list[HookDelivery]:
        """Delete a repository: `repository` deleted, and `installation_repositories` removed where the App reached it.

        Raises:
            UnknownNameError: there is no such repository.
        """
        repository, actor = self._state.repository(full_name), self._state.actor(by)
        told = self._core.announcer.repository("deleted", repository, actor)
        installation = self._state.installation_of(repository)
        self._state.remove_repository(repository)
        if installation is not None:
            told += self._core.announcer.selection(installation, actor, removed=[repository])
        return await self._core.sender.send_all(told)

    async def _tell(
        self, action: str, repository: Repository, by: str, changes: dict[str, Any] | None = None
    ) -> list[HookDelivery]:
        told = self._core.announcer.repository(action, repository, self._state.actor(by), changes)
        return await self._core.sender.send_all(told)
