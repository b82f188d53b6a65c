"""The router's views of its own events: what is due, accounts and repositories by name, who lists one, who did what."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from zekt_common.auth.authorisation_log import ACCESS_SCHEMAS
from zekt_common.envelope import Envelope, Event
from zekt_common.kit.sweeper import due
from zekt_common.ports import Put, Remove
from zekt_router.audit import audit_entries
from zekt_router.catalog_events import (
    CATALOG_SCHEMAS,
    AccountDefined,
    InstallationSeen,
    RepositoryDefined,
    RepositoryRemoved,
    RepositorySeen,
)
from zekt_router.catalog_model import Account, Repository, RepositoryStanding
from zekt_router.run_events import RUN_SCHEMAS, CompletionAccepted, CompletionPredated, MessageRecorded

ACCOUNTS: Final = "accounts"
LOGINS: Final = "logins"
REPOSITORIES: Final = "repositories"
_DUE: Final = (CompletionAccepted.TYPE, CompletionPredated.TYPE, MessageRecorded.TYPE)
PARTITIONS: Final = ("due", ACCOUNTS, LOGINS, REPOSITORIES)


class KnownRepository(msgspec.Struct, frozen=True, kw_only=True):
    """A repository of the catalog, as found by its name; what it is enabled as, its catalog says."""

    account_id: int
    repository: Repository


def account_key(account_id: int) -> str:
    """Return the id under which an account is listed, in order of number."""
    return f"{account_id:020d}"


def listings_of(repository_id: int) -> str:
    """Return the partition of the accounts whose catalogs list the repository."""
    return f"listings/{repository_id}"


def project(envelope: Envelope) -> Sequence[Put | Remove]:
    """Return what this event changes in the views."""
    if envelope.type in _DUE:
        return _due(envelope)
    if envelope.type in CATALOG_SCHEMAS:
        return list(_catalog(CATALOG_SCHEMAS.decode(envelope), envelope))
    if envelope.type in ACCESS_SCHEMAS:
        return audit_entries(envelope)
    return []


def _catalog(event: Event, envelope: Envelope) -> Iterator[Put | Remove]:
    match event:
        case AccountDefined(account=account):
            yield Put(partition=ACCOUNTS, id=account_key(account.account_id), body=msgspec.json.encode(account))
            yield _login(account)
            yield due(envelope.stream, envelope.time)
        case RepositoryDefined(account_id=account_id, repository=repository):
            yield _named(account_id, repository)
            yield Put(partition=listings_of(repository.repository_id), id=account_key(account_id), body=b"{}")
            yield due(envelope.stream, envelope.time)
        case RepositoryRemoved(account_id=account_id, repository=repository):
            yield Remove(partition=REPOSITORIES, id=repository.repository.lower())
            yield Remove(partition=listings_of(repository.repository_id), id=account_key(account_id))
        case RepositorySeen(account_id=account_id, standing=standing) if account_id == standing.account_id:
            yield _named(account_id, _as_repository(standing))
        case InstallationSeen(account_id=account_id, standing=installation):
            yield _login(Account(account_id=account_id, login=installation.login))


def _due(envelope: Envelope) -> list[Put | Remove]:
    match RUN_SCHEMAS.decode(envelope):
        case CompletionAccepted(due_at=at) | CompletionPredated(due_at=at) | MessageRecorded(due_at=at):
            return [] if at is None else [due(envelope.stream, at)]
    return []


def _login(account: Account) -> Put:
    return Put(partition=LOGINS, id=account.login.lower(), body=msgspec.json.encode(account))


def _named(account_id: int, repository: Repository) -> Put:
    known = KnownRepository(account_id=account_id, repository=repository)
    return Put(partition=REPOSITORIES, id=repository.repository.lower(), body=msgspec.json.encode(known))


def _as_repository(standing: RepositoryStanding) -> Repository:
    return Repository(
        repository_id=standing.repository_id,
        repository=standing.repository,
        installation_id=standing.installation_id,
        enabled_as=[],
    )
