"""The ids behind a document's names, looked up once each; unknown names become problems at their paths."""

import asyncio
from collections.abc import Iterator
from typing import Final

import msgspec

from zekt_router.catalog_document import CatalogDocument, DocumentProblem, RepositoryEntry
from zekt_router.catalog_model import Repository
from zekt_router.directory import FoundRepository, GitHubNames, KnownNames, NameUnknown
from zekt_router.projections import KnownRepository

LOOKUPS_AT_ONCE: Final = 8


class Names:
    """Explicit ids win; repositories are asked for at GitHub each time, accounts only if nobody here knows them."""

    def __init__(self, known: KnownNames, github: GitHubNames) -> None:
        self._known = known
        self._github = github
        self._room = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        self._repositories: dict[str, KnownRepository] = {}
        self._accounts: dict[str, int] = {}
        self._given: set[str] = set()
        self.problems: list[DocumentProblem] = []

    async def learn(self, document: CatalogDocument) -> None:
        """Look up every name in the document.

        Raises:
            TokensUnavailable: identity or GitHub cannot answer now.
            GitHubUnavailable: likewise.
        """
        for account in document.accounts:
            if account.account_id is not None:
                self._accounts[account.login.lower()] = account.account_id
                self._given.add(account.login.lower())
        await self._learn_repositories(document.repositories)
        for path, name in _referenced_repositories(document):
            await self._learn_referenced(path, name)
        for path, login in _referenced_accounts(document):
            await self._learn_account(path, login)

    def repository(self, full_name: str) -> KnownRepository:
        """Return the repository of this name, which must not be among the problems."""
        return self._repositories[full_name.lower()]

    def account_id(self, login: str) -> int:
        """Return the id of the account, which must not be among the problems."""
        return self._accounts[login.lower()]

    async def _learn_repositories(self, entries: list[RepositoryEntry]) -> None:
        found = await asyncio.gather(*(self._find(index, entry) for index, entry in enumerate(entries)))
        for entry, there in zip(entries, found, strict=True):  # an owner that GitHub has told serves the others too
            if there is not None and there.account_id is not None:
                self._accounts.setdefault(_owner(entry.repository), there.account_id)
        for index, (entry, there) in enumerate(zip(entries, found, strict=True)):
            if there is not None:
                await self._note_repository(index, entry, there)

    async def _find(self, index: int, entry: RepositoryEntry) -> FoundRepository | None:
        if entry.repository_id is not None and entry.installation_id is not None:
            return FoundRepository(
                repository_id=entry.repository_id, installation_id=entry.installation_id, account_id=None
            )
        try:
            async with self._room:
                found = await self._github.repository(entry.repository)
        except NameUnknown as error:
            advice = f"{error} Install the App there, or give repositoryId and installationId."
            self._unknown(f"repositories[{index}].repository", "repository_unknown", advice)
            return None
        return msgspec.structs.replace(
            found,
            repository_id=entry.repository_id or found.repository_id,
            installation_id=entry.installation_id or found.installation_id,
        )

    async def _note_repository(self, index: int, entry: RepositoryEntry, found: FoundRepository) -> None:
        owner, path = _owner(entry.repository), f"repositories[{index}].repository"
        await self._learn_account(path, owner)
        if self._is_elsewhere(owner, found):
            advice = f"{entry.repository} belongs to another account at GitHub than others below {owner}."
            self._unknown(path, "repository_elsewhere", f"{advice} List it by its present name.")
        elif owner in self._accounts:
            repository = Repository(
                repository_id=found.repository_id,
                repository=entry.repository,
                installation_id=found.installation_id,
                enabled_as=list(dict.fromkeys(entry.enabled_as)),
            )
            known = KnownRepository(account_id=self._accounts[owner], repository=repository)
            self._repositories[entry.repository.lower()] = known

    def _is_elsewhere(self, owner: str, found: FoundRepository) -> bool:
        """Return whether it was handed on: GitHub sends its former names on to whoever has it now."""
        told = found.account_id is not None and owner not in self._given
        return told and self._accounts.get(owner) != found.account_id

    async def _learn_referenced(self, path: str, full_name: str) -> None:
        if full_name.lower() in self._repositories:
            return
        known = await self._known.repository(full_name)
        if known is None:
            self._unknown(path, "repository_unknown", f"{full_name} is not in the catalog; add it under repositories.")
        else:
            self._repositories[full_name.lower()] = known

    async def _learn_account(self, path: str, login: str) -> None:
        login = login.lower()
        if login in self._accounts:
            return
        try:
            self._accounts[login] = await self._known.account_id(login) or await self._github.account_id(login)
        except NameUnknown as error:
            self._unknown(path, "account_unknown", str(error))

    def _unknown(self, path: str, code: str, detail: str) -> None:
        self.problems.append(DocumentProblem(path=path, code=code, detail=detail))


def _owner(full_name: str) -> str:
    return full_name.partition("/")[0].lower()


def _referenced_repositories(document: CatalogDocument) -> Iterator[tuple[str, str]]:
    listed = {entry.repository.lower() for entry in document.repositories}
    named = [
        *((f"workflows[{index}].repository", entry.repository) for index, entry in enumerate(document.workflows)),
        *((f"services[{index}].repository", entry.repository) for index, entry in enumerate(document.services)),
        *((f"subscriptions[{index}].target", entry.target) for index, entry in enumerate(document.subscriptions)),
    ]
    return (pair for pair in named if pair[1].lower() not in listed)


def _referenced_accounts(document: CatalogDocument) -> Iterator[tuple[str, str]]:
    for index, account in enumerate(document.accounts):
        yield f"accounts[{index}].login", account.login
    for index, service in enumerate(document.services):
        yield f"services[{index}].owner", service.owner
    for index, subscription in enumerate(document.subscriptions):
        yield f"subscriptions[{index}].service", subscription.owner
