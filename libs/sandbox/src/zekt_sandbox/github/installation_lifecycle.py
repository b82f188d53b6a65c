"""Controls over the App's installations that tell the App, as GitHub does."""

from collections.abc import Sequence

from zekt_sandbox.github.directory import DirectoryControls
from zekt_sandbox.github.model import HookDelivery, Installation
from zekt_sandbox.github.state import ANYBODY


class InstallationLifecycle(DirectoryControls):
    """Suspends, moves and removes installations; `by` is the login of who does it, made if unknown."""

    async def announce_installation(self, installation_id: int, *, by: str = ANYBODY) -> list[HookDelivery]:
        """Tell the App of an installation that was created unsaid: `installation` created.

        Raises:
            UnknownNameError: there is no such installation.
        """
        return await self._tell_installation("created", self.installation(installation_id), by)

    async def suspend_installation(self, installation_id: int, *, by: str = ANYBODY) -> list[HookDelivery]:
        """Suspend an installation and tell the App: `installation` suspend.

        Raises:
            UnknownNameError: there is no such installation.
        """
        installation = self.update_installation(installation_id, suspended=True)
        installation.suspended_by = self._state.actor(by)
        return await self._tell_installation("suspend", installation, by)

    async def unsuspend_installation(self, installation_id: int, *, by: str = ANYBODY) -> list[HookDelivery]:
        """Resume an installation and tell the App: `installation` unsuspend.

        Raises:
            UnknownNameError: there is no such installation.
        """
        return await self._tell_installation(
            "unsuspend", self.update_installation(installation_id, suspended=False), by
        )

    async def uninstall(self, installation_id: int, *, by: str = ANYBODY) -> list[HookDelivery]:
        """Uninstall the App and tell it: `installation` deleted.

        Raises:
            UnknownNameError: there is no such installation.
        """
        deliveries = self._core.announcer.installation(
            "deleted", self.installation(installation_id), self._state.actor(by)
        )
        self.delete_installation(installation_id)
        return await self._core.sender.send_all(deliveries)

    async def select_repositories(
        self, installation_id: int, names: Sequence[str] | None, *, by: str = ANYBODY
    ) -> list[HookDelivery]:
        """Let an installation reach these repositories, or all (None), and tell the App what was added and removed.

        Raises:
            UnknownNameError: there is no such installation or repository.
        """
        installation = self.installation(installation_id)
        before = self._state.covered_by(installation)
        self.update_installation(installation_id, repositories=names)
        after = self._state.covered_by(installation)
        added = [one for one in after if one not in before]
        removed = [one for one in before if one not in after]
        told = self._core.announcer.selection(installation, self._state.actor(by), added=added, removed=removed)
        return await self._core.sender.send_all(told)

    async def _tell_installation(self, action: str, installation: Installation, by: str) -> list[HookDelivery]:
        told = self._core.announcer.installation(action, installation, self._state.actor(by))
        return await self._core.sender.send_all(told)
