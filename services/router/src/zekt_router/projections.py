"""The router's views of its own events: when runs are due, and accounts and repositories by name."""

from collections.abc import Sequence
from typing import Final

import msgspec

from zekt_common.envelope import Envelope
from zekt_common.kit.sweeper import due
from zekt_common.ports import Put, Remove
from zekt_router.catalog_events import CATALOG_SCHEMAS, AccountDefined, RepositoryDefined, RepositoryRemoved
from zekt_router.catalog_model import Account, Repository
from zekt_router.run_events import RUN_SCHEMAS, CompletionAccepted, CompletionPredated, MessageRecorded

ACCOUNTS: Final = "accounts"
LOGINS: Final = "logins"
REPOSITORIES: Final = "repositories"
_DUE: Final = (CompletionAccepted.TYPE, CompletionPredated.TYPE, MessageRecorded.TYPE)
PARTITIONS: Final = ("due", ACCOUNTS, LOGINS, REPOSITORIES)


class KnownRepository(msgspec.Struct, frozen=True, kw_only=True):
    """A repository of the catalog, as found by its name."""

    account_id: int
    repository: Repository


def account_key(account_id: int) -> str:
    """Return the id under which an account is listed, in order of number."""
    return f"{account_id:020d}"


def project(envelope: Envelope) -> Sequence[Put | Remove]:
    """Return what this event changes in the views."""
    if envelope.type in _DUE:
        return _due(envelope)
    if envelope.type not in CATALOG_SCHEMAS:
        return []
    match CATALOG_SCHEMAS.decode(envelope):
        case AccountDefined(account=account):
            return _account(account)
        case RepositoryDefined(account_id=account_id, repository=repository):
            known = KnownRepository(account_id=account_id, repository=repository)
            return [Put(partition=REPOSITORIES, id=repository.repository.lower(), body=msgspec.json.encode(known))]
        case RepositoryRemoved(repository=repository):
            return [Remove(partition=REPOSITORIES, id=repository.repository.lower())]
    return []


def _due(envelope: Envelope) -> list[Put | Remove]:
    match RUN_SCHEMAS.decode(envelope):
        case CompletionAccepted(due_at=at) | CompletionPredated(due_at=at) | MessageRecorded(due_at=at):
            return [] if at is None else [due(envelope.stream, at)]
    return []


def _account(account: Account) -> list[Put | Remove]:
    body = msgspec.json.encode(account)
    return [
        Put(partition=ACCOUNTS, id=account_key(account.account_id), body=body),
        Put(partition=LOGINS, id=account.login.lower(), body=body),
    ]
