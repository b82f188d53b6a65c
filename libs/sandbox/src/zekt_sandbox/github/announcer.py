"""Who hears of what: the deliveries that each change of an installation or a repository leads to."""

from typing import Any

from zekt_sandbox.github.app_events import (
    authorization_revoked_event,
    installation_event,
    installation_reference,
    repository_event,
    selection_event,
    target_renamed_event,
)
from zekt_sandbox.github.hook_sender import HookSender
from zekt_sandbox.github.model import Account, HookDelivery, Installation, Repository
from zekt_sandbox.github.state import GitHubState


class Announcer:
    """Writes deliveries; nothing is sent or logged until the sender gets them."""

    def __init__(self, state: GitHubState, sender: HookSender) -> None:
        self._state = state
        self._sender = sender

    def installation(self, action: str, installation: Installation, by: Account) -> list[HookDelivery]:
        """`installation`, to the App, suspended or not."""
        covered = self._state.covered_by(installation)
        payload = installation_event(action, installation, self._state.app, by, covered)
        return self._to_app("installation", payload, installation_id=installation.id)

    def selection(
        self,
        installation: Installation,
        by: Account,
        *,
        added: list[Repository] | None = None,
        removed: list[Repository] | None = None,
    ) -> list[HookDelivery]:
        """`installation_repositories`, to the App: one for what was added, one for what was removed."""
        deliveries: list[HookDelivery] = []
        for more, less in ((added or [], []), ([], removed or [])):
            if more or less:
                payload = selection_event(installation, self._state.app, by, added=more, removed=less)
                deliveries += self._to_app("installation_repositories", payload, installation_id=installation.id)
        return deliveries

    def repository(
        self, action: str, repository: Repository, by: Account, changes: dict[str, Any] | None = None
    ) -> list[HookDelivery]:
        """`repository`, to every hook that hears of the repository as it is now."""
        payload = repository_event(action, repository, by, changes)
        deliveries = []
        for hook, installation_id in self._sender.hooks_for(repository, "repository"):
            told = payload
            if installation_id is not None:
                told = {**payload, "installation": installation_reference(installation_id)}
            delivery = self._sender.prepare_event("repository", told, hook)
            delivery.installation_id, delivery.repository_id = installation_id, repository.id
            deliveries.append(delivery)
        return deliveries

    def account_renamed(self, account: Account, former_login: str, by: Account) -> list[HookDelivery]:
        """`installation_target`, to the App, if it is installed in the account."""
        found = next((one for one in self._state.installations.values() if one.account is account), None)
        if found is None:
            return []
        payload = target_renamed_event(account, former_login, found, by)
        return self._to_app("installation_target", payload, installation_id=found.id)

    def authorization_revoked(self, person: Account) -> list[HookDelivery]:
        """`github_app_authorization`, to the App, for no installation."""
        return self._to_app("github_app_authorization", authorization_revoked_event(person))

    def _to_app(self, event: str, payload: dict[str, Any], *, installation_id: int | None = None) -> list[HookDelivery]:
        hook = self._sender.app_hook()
        if hook is None or self._sender.muted:
            return []
        delivery = self._sender.prepare_event(event, payload, hook)
        delivery.installation_id = installation_id
        return [delivery]
