"""What identity has said, newest state by id: kept beside the catalogs, since it may come before they need it.

| Partition | Id | For |
|---|---|---|
| `heard-repositories` | repository id | how it stands at GitHub |
| `heard-installations` | installation id | whether it is active, and its account's login |
| `heard-logins` | login | the installation that was last in an account of this name |
| `heard-accounts` | account id | the account's own persona and SKU |

All of it can be had again: by having identity publish again what it has stored.
"""

import asyncio
from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec

from zekt_common.errors import DocumentConflict
from zekt_common.ports import Put, Views
from zekt_common.ports.views import ABSENT
from zekt_router.catalog import Heed
from zekt_router.catalog_model import AccountRecord, InstallationStanding, Repository, RepositoryStanding

REPOSITORIES: Final = "heard-repositories"
INSTALLATIONS: Final = "heard-installations"
LOGINS: Final = "heard-logins"
ACCOUNTS: Final = "heard-accounts"

Said = TypeVar("Said", RepositoryStanding, InstallationStanding, AccountRecord)


class _Versioned(msgspec.Struct, frozen=True):
    version: int


class _Named(msgspec.Struct, frozen=True):
    installation_id: int


class Heard:
    """Documents in `Views`, which all replicas share."""

    def __init__(self, views: Views) -> None:
        self._views = views

    async def keep(self, said: RepositoryStanding | InstallationStanding | AccountRecord) -> bool:
        """Keep this unless something newer is known; False if somebody else wrote at the same time."""
        partition, id_ = _place(said)
        known = await self._views.get(partition, id_)
        if known is not None and msgspec.json.decode(known.body, type=_Versioned).version >= said.version:
            return True
        if isinstance(said, InstallationStanding):  # first: what it leads to is looked at, so too early does no harm
            named = msgspec.json.encode(_Named(said.installation_id))
            await self._views.write([Put(partition=LOGINS, id=said.login.lower(), body=named)])
        put = Put(partition=partition, id=id_, body=msgspec.json.encode(said), if_match=known.etag if known else ABSENT)
        try:
            await self._views.write([put])
        except DocumentConflict:
            return False
        return True

    async def account_id(self, login: str) -> int | None:
        """Return the id of the account of this name that the App is installed in, or None."""
        named = await self._views.get(LOGINS, login.lower())
        if named is None:
            return None
        installation_id = msgspec.json.decode(named.body, type=_Named).installation_id
        found = await self._all(INSTALLATIONS, [installation_id], InstallationStanding)
        present = [one.account_id for one in found if one.status != "removed" and one.login.lower() == login.lower()]
        return present[0] if present else None

    async def about(self, account_id: int, repositories: Iterable[Repository]) -> Heed:
        """Return all that is known of the account, these repositories, and the installations they are in."""
        listed = {each.repository_id: each.installation_id for each in repositories}
        standings = await self._all(REPOSITORIES, listed, RepositoryStanding)
        ids = {*listed.values(), *(standing.installation_id for standing in standings)} - {None}
        installations = await self._all(INSTALLATIONS, ids, InstallationStanding)
        records = await self._all(ACCOUNTS, [account_id], AccountRecord)
        return Heed(
            account_id=account_id,
            repositories=standings,
            installations=[each for each in installations if each.account_id == account_id],
            record=records[0] if records else None,
        )

    async def _all(self, partition: str, ids: Iterable[int | None], kind: type[Said]) -> list[Said]:
        found = await asyncio.gather(*(self._views.get(partition, str(id_)) for id_ in ids))
        return [msgspec.json.decode(document.body, type=kind) for document in found if document is not None]


def _place(said: RepositoryStanding | InstallationStanding | AccountRecord) -> tuple[str, str]:
    match said:
        case RepositoryStanding():
            return REPOSITORIES, str(said.repository_id)
        case InstallationStanding():
            return INSTALLATIONS, str(said.installation_id)
        case AccountRecord():
            return ACCOUNTS, str(said.account_id)
