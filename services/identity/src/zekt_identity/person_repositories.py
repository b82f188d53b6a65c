"""The App's installations, repositories and workflows as a person may see them at GitHub."""

from typing import Final

import msgspec

from zekt_identity.github_person import GitHubAsPerson
from zekt_identity.repository_access import SeenRepository

PAGE: Final = 100


class _Account(msgspec.Struct, frozen=True):
    """A user or an organisation, which have a login, or an enterprise, which has a slug."""

    id: int
    login: str = ""
    slug: str = ""


class _Installation(msgspec.Struct, frozen=True):
    id: int
    account: _Account
    suspended_at: str | None = None


class SeenWorkflow(msgspec.Struct, frozen=True):
    """A workflow file of a repository; `state` is GitHub's word."""

    id: int
    name: str
    path: str
    state: str


class ShownInstallation(msgspec.Struct, frozen=True, rename="camel"):
    """An installation that the person may see."""

    installation_id: int
    account_id: int
    login: str
    is_suspended: bool


class _Installations(msgspec.Struct):
    installations: list[_Installation]


class _Repositories(msgspec.Struct):
    repositories: list[SeenRepository]


class _Workflows(msgspec.Struct):
    workflows: list[SeenWorkflow]


class PersonRepositories:
    """Asks GitHub page by page, with pages of a hundred that count from 1.

    Every method raises SignInNeeded, GitHubRefused and GitHubUnavailable as `GitHubAsPerson` does.
    """

    def __init__(self, github: GitHubAsPerson) -> None:
        self._github = github

    async def installations(self, account_id: int, page: int) -> list[ShownInstallation]:
        """Return the App's installations that the person may see, suspended ones too."""
        path = f"/user/installations?per_page={PAGE}&page={page}"
        found = await self._github.get(account_id, path, _Installations, purpose="list installations")
        return [
            ShownInstallation(
                one.id, one.account.id, one.account.login or one.account.slug, one.suspended_at is not None
            )
            for one in found.installations
        ]

    async def repositories(self, account_id: int, installation_id: int, page: int) -> list[SeenRepository]:
        """Return the repositories that both the person and the installation reach."""
        path = f"/user/installations/{installation_id}/repositories?per_page={PAGE}&page={page}"
        return (await self._github.get(account_id, path, _Repositories, purpose="list repositories")).repositories

    async def workflows(self, account_id: int, repository: SeenRepository, page: int) -> list[SeenWorkflow]:
        """Return the repository's workflows."""
        path = f"/repos/{repository.full_name}/actions/workflows?per_page={PAGE}&page={page}"
        return (await self._github.get(account_id, path, _Workflows, purpose="list workflows")).workflows
