"""Webhooks in single repositories: placed and removed for an admin, with a secret that is derived and never shown."""

from typing import Any, Final

import msgspec

from zekt_common.auth.webhook_secrets import repository_secret
from zekt_identity.github_app import GitHubRefused, GitHubUnavailable
from zekt_identity.github_person import INVALID, GitHubAsPerson
from zekt_identity.repository_access import SeenRepository

EVENTS: Final = ("workflow_run",)
WEBHOOK_PATH: Final = "/webhooks/github"
MAX_PAGES: Final = 3
_PAGE: Final = 100
_ATTEMPTS: Final = 2


class HookConfig(msgspec.Struct, frozen=True):
    """Where a hook sends to."""

    url: str = ""


class Hook(msgspec.Struct, frozen=True):
    """A hook as GitHub shows it, which masks the secret."""

    id: int
    active: bool
    events: list[str]
    config: HookConfig


class Hooks:
    """One hook for each repository, at our own URL; `master_key` is the newest generation's."""

    def __init__(self, github: GitHubAsPerson, *, public_url: str, master_key: bytes) -> None:
        self._github = github
        self._url = f"{public_url}{WEBHOOK_PATH}"
        self._master_key = master_key

    async def place(self, account_id: int, repository: SeenRepository) -> Hook:
        """Have the repository have just one hook of ours, with the newest secret, and return it.

        Raises:
            GitHubRefused: the installation does not grant webhooks, or the repository is read-only.
            GitHubUnavailable: not now.
            SignInNeeded: there is no token of the person that works.
        """
        for _ in range(_ATTEMPTS):
            ours = await self._ours(account_id, repository)
            try:
                placed = await self._put(account_id, repository, ours[0] if ours else None)
            except GitHubRefused as error:
                if error.code != INVALID or ours:
                    raise
                continue  # somebody else has placed it meanwhile
            for surplus in ours[1:]:
                await self._delete(account_id, repository, surplus)
            return placed
        raise GitHubUnavailable("the repository's hooks keep changing")

    async def remove(self, account_id: int, repository: SeenRepository) -> None:
        """Have the repository have no hook of ours; see `place`."""
        for hook in await self._ours(account_id, repository):
            await self._delete(account_id, repository, hook)

    async def _ours(self, account_id: int, repository: SeenRepository) -> list[Hook]:
        found: list[Hook] = []
        for number in range(1, MAX_PAGES + 1):
            path = f"{_path(repository)}?per_page={_PAGE}&page={number}"
            page = await self._github.get(account_id, path, list[Hook], purpose="list webhooks")
            found += [hook for hook in page if hook.config.url == self._url]
            if len(page) < _PAGE:
                break
        return found

    async def _put(self, account_id: int, repository: SeenRepository, known: Hook | None) -> Hook:
        """Write all of it: whether a hook has the newest secret GitHub does not tell."""
        config = {
            "url": self._url,
            "content_type": "json",
            "secret": repository_secret(self._master_key, repository.id),
        }
        body: dict[str, Any] = {"active": True, "events": list(EVENTS), "config": config}
        method, path = ("POST", _path(repository)) if known is None else ("PATCH", f"{_path(repository)}/{known.id}")
        content = await self._github.send(account_id, method, path, purpose="place webhook", body=body)
        return msgspec.json.decode(content, type=Hook)

    async def _delete(self, account_id: int, repository: SeenRepository, hook: Hook) -> None:
        path = f"{_path(repository)}/{hook.id}"
        await self._github.send(account_id, "DELETE", path, purpose="remove webhook")


def _path(repository: SeenRepository) -> str:
    return f"/repos/{repository.full_name}/hooks"
