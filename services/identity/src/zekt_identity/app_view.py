"""What the App sees at GitHub: its installations and the repositories in each, asked page by page.

Pages are counted, so what leaves an early one while it is read makes a later entry slide past: an entry that is missing
proves nothing by itself.
"""

from datetime import datetime
from typing import Final

import msgspec

from zekt_identity.github_app import GitHubApp, GitHubRefused, GitHubUnavailable, RateLimited
from zekt_identity.installation import InstallationFacts
from zekt_identity.repository import RepositoryFacts

PAGE: Final = 100


class _Account(msgspec.Struct):
    """A user or an organisation; an enterprise has a slug and no login."""

    id: int
    login: str = ""


class _Installation(msgspec.Struct):
    id: int
    account: _Account | None = None
    suspended_at: datetime | None = None


class _Repository(msgspec.Struct):
    id: int
    full_name: str
    owner: _Account
    archived: bool = False


class _RepositoryPage(msgspec.Struct):
    repositories: list[_Repository]


class AppView:
    """Asks as the App, or as an installation; each page is a call of its own."""

    def __init__(self, app: GitHubApp) -> None:
        self._app = app

    async def installations(self) -> list[InstallationFacts]:
        """Return every installation that may cover repositories, suspended ones too.

        Raises:
            GitHubUnavailable: not now.
            GitHubRefused: GitHub does not know the App.
        """
        found: list[InstallationFacts] = []
        number = 1
        while True:
            path = f"/app/installations?per_page={PAGE}&page={number}"
            page = await self._app.get(path, list[_Installation])
            found += [facts for one in page if (facts := _facts(one)) is not None]
            if len(page) < PAGE:
                return found
            number += 1

    async def installation(self, installation_id: int) -> InstallationFacts | None:
        """Return the installation, None if there is none of this id (any more) that may cover repositories.

        Raises:
            GitHubUnavailable: not now.
            GitHubRefused: GitHub does not know the App.
        """
        try:
            return _facts(await self._app.get(f"/app/installations/{installation_id}", _Installation))
        except GitHubRefused as error:
            if error.code == "installation_not_found":
                return None
            raise

    async def repositories(self, installation_id: int) -> list[RepositoryFacts]:
        """Return the repositories in an active installation.

        Raises:
            RateLimited: the App has spent its limit.
            GitHubUnavailable: not now; or the installation has spent its own limit.
            GitHubRefused: it is gone or suspended meanwhile, or lets us see nothing.
        """
        token = await self._app.reading_token(installation_id)
        try:
            return await self._repositories(installation_id, token)
        except RateLimited as error:
            raise GitHubUnavailable("the installation's rate limit is reached", pause_s=error.pause_s) from error

    async def _repositories(self, installation_id: int, token: str) -> list[RepositoryFacts]:
        found: list[RepositoryFacts] = []
        number = 1
        while True:
            path = f"/installation/repositories?per_page={PAGE}&page={number}"
            page = (await self._app.get(path, _RepositoryPage, token=token)).repositories
            found += [_covered(one, installation_id) for one in page]
            if len(page) < PAGE:
                return found
            number += 1


def _facts(installation: _Installation) -> InstallationFacts | None:
    """Return what is known of it; an enterprise's covers no repository, and its id is not one of an account's."""
    account = installation.account
    if account is None or not account.login:
        return None
    return InstallationFacts(
        installation_id=installation.id,
        account_id=account.id,
        login=account.login,
        status="active" if installation.suspended_at is None else "suspended",
    )


def _covered(repository: _Repository, installation_id: int) -> RepositoryFacts:
    return RepositoryFacts(
        repository_id=repository.id,
        repository=repository.full_name,
        account_id=repository.owner.id,
        installation_id=installation_id,
        archived=repository.archived,
        status="covered",
    )
