"""Names of accounts and repositories to ids: what the document says, what the catalog knows, what GitHub answers."""

import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import aiohttp
import msgspec

from zekt_common.contracts.identity import InstallationToken, InstallationTokenRequest
from zekt_common.errors import ZektError
from zekt_common.kit.identity_client import InstallationTokens, TokensRefused
from zekt_common.ports import Views
from zekt_router.catalog_model import Account
from zekt_router.catalogs import Catalogs
from zekt_router.heard import Heard
from zekt_router.projections import LOGINS, REPOSITORIES, KnownRepository
from zekt_router.refused_names import RefusedNames
from zekt_router.standing import present, present_login

REFUSED_FOR_S: Final = 10.0
_OK = 200
_NOT_FOUND = 404
_TIMEOUT = aiohttp.ClientTimeout(total=10.0)


class NameUnknown(ZektError):
    """Nobody knows this name; the message says what to do."""


class GitHubUnavailable(ZektError):
    """GitHub cannot be asked now."""


class FoundRepository(msgspec.Struct, frozen=True, kw_only=True):
    """A repository as GitHub knows it; the owner's id is not always told."""

    repository_id: int
    installation_id: int
    account_id: int | None


class GitHubNames(Protocol):
    """Where names are looked up at GitHub."""

    async def repository(self, full_name: str, /) -> FoundRepository:
        """Return the repository, if the App is installed there.

        Raises:
            NameUnknown: the App sees no such repository.
            TokensUnavailable: identity or GitHub cannot answer now.
        """
        ...

    async def account_id(self, login: str, /, *, through: str | None = None) -> int:
        """Return the account's id, asked for through the installation in the repository `through` if there is one.

        Raises:
            NameUnknown: there is no such account, or the App is not installed in that repository.
            TokensUnavailable: identity or GitHub cannot answer now.
            GitHubUnavailable: not now.
        """
        ...


class _User(msgspec.Struct):
    id: int


class InstalledNames:
    """Looks repositories up through the App's installations, at identity, and accounts at GitHub's public API."""

    def __init__(
        self,
        tokens: InstallationTokens,
        http: aiohttp.ClientSession,
        api_url: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._http = http
        self._api_url = api_url.rstrip("/")
        self._refused = RefusedNames(for_s=REFUSED_FOR_S, monotonic=monotonic)

    async def repository(self, full_name: str, /) -> FoundRepository:
        """Return the repository; a token for it tells its ids."""
        return _found(full_name, await self._token(full_name))

    async def account_id(self, login: str, /, *, through: str | None = None) -> int:
        """Return the account's id as GitHub tells it: to anybody, or to an installation, which may ask more often."""
        if why := self._refused.why(login):
            raise NameUnknown(why)
        headers = {} if through is None else {"Authorization": f"Bearer {(await self._token(through)).token}"}
        try:
            return await self._ask_account_id(login, headers)
        except NameUnknown as error:
            self._refused.keep(login, str(error))
            raise

    async def _token(self, full_name: str) -> InstallationToken:
        if why := self._refused.why(full_name):
            raise NameUnknown(why)
        request = InstallationTokenRequest(repository=full_name, permissions={"metadata": "read"}, purpose="catalog")
        try:
            return await self._tokens.token(request)
        except TokensRefused as error:
            why = f"{full_name} cannot be reached: {error.detail or error.code}"
            self._refused.keep(full_name, why)
            raise NameUnknown(why) from error

    async def _ask_account_id(self, login: str, headers: Mapping[str, str]) -> int:
        url = f"{self._api_url}/users/{login}"
        try:
            async with self._http.get(url, headers=headers, timeout=_TIMEOUT) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise GitHubUnavailable(f"GitHub cannot be asked for {login}: {type(error).__name__}") from error
        if response.status == _NOT_FOUND:
            raise NameUnknown(f"GitHub knows no account {login}; correct the login or give its accountId.")
        if response.status != _OK:
            raise GitHubUnavailable(f"GitHub answered {response.status} when asked for {login}")
        return msgspec.json.decode(body, type=_User).id


class KnownNames:
    """Looks names up in the catalog's own views and in what was heard; each counts under its present name only."""

    def __init__(self, views: Views, catalogs: Catalogs, heard: Heard) -> None:
        self._views = views
        self._catalogs = catalogs
        self._heard = heard

    async def repository(self, full_name: str) -> KnownRepository | None:
        """Return the repository of this name, or None."""
        document = await self._views.get(REPOSITORIES, full_name.lower())
        if document is None:
            return None
        known = msgspec.json.decode(document.body, type=KnownRepository)
        catalog = (await self._catalogs.latest(known.account_id)).catalog
        listed = catalog.repositories.get(known.repository.repository_id)
        repository = None if listed is None else present(catalog, listed)
        if repository is None or repository.repository.lower() != full_name.lower():
            return None
        return KnownRepository(account_id=known.account_id, repository=repository)

    async def account_id(self, login: str) -> int | None:
        """Return the id of the account that has this login here, or where the App is installed; or None."""
        return await self._listed(login) or await self._heard.account_id(login)

    async def _listed(self, login: str) -> int | None:
        document = await self._views.get(LOGINS, login.lower())
        if document is None:
            return None
        account_id = msgspec.json.decode(document.body, type=Account).account_id
        now = present_login((await self._catalogs.latest(account_id)).catalog)
        return account_id if now is not None and now.lower() == login.lower() else None


def _found(full_name: str, token: InstallationToken) -> FoundRepository:
    if len(token.repository_ids) != 1:
        raise NameUnknown(f"{full_name}: identity named {len(token.repository_ids)} repositories; give repositoryId.")
    return FoundRepository(
        repository_id=token.repository_ids[0], installation_id=token.installation_id, account_id=token.account_id
    )
