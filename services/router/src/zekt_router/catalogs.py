"""Accounts' catalogs in memory: folded once, then kept up by reading only what is new."""

from collections import OrderedDict
from collections.abc import Iterable

from zekt_common.ports import EventStore
from zekt_router.catalog import fold_catalog
from zekt_router.catalog_model import Catalog, Repository, Subscription, catalog_stream
from zekt_router.matching import CatalogAt
from zekt_router.policy import Blocked, hindrance_of
from zekt_router.routing import Targets
from zekt_router.standing import present

CACHED_ACCOUNTS = 1000


class Catalogs:
    """Reads catalogs from the store; an account that has none has an empty one at version 0."""

    def __init__(self, store: EventStore, *, capacity: int = CACHED_ACCOUNTS) -> None:
        self._store = store
        self._capacity = capacity
        self._cached: OrderedDict[int, CatalogAt] = OrderedDict()

    async def latest(self, account_id: int) -> CatalogAt:
        """Return the catalog as it is stored now."""
        known = self._cached.get(account_id) or CatalogAt(Catalog(), 0)
        news = await self._store.read(catalog_stream(account_id), after=known.version)
        if news:
            known = CatalogAt(fold_catalog(known.catalog, news), news[-1].version)
        return self._keep(account_id, known)

    async def at(self, account_id: int, version: int) -> CatalogAt:
        """Return the catalog as it was at this version."""
        known = self._cached.get(account_id)
        if known is not None and known.version == version:
            return known
        latest = await self.latest(account_id)
        if latest.version == version:
            return latest
        events = await self._store.read(catalog_stream(account_id))
        past = [event for event in events if event.version <= version]
        return CatalogAt(fold_catalog(Catalog(), past), version)

    async def targets(self, subscriptions: Iterable[Subscription]) -> Targets:
        """Return the consumers' repositories as their own accounts have them now; those in no catalog are left out."""
        wanted = {(each.target_account_id, each.target_repository_id) for each in subscriptions}
        accounts = {account_id for account_id, _ in wanted}
        catalogs = {account_id: (await self.latest(account_id)).catalog for account_id in accounts}
        return {
            (account_id, repository_id): _standing_now(catalogs[account_id], repository_id)
            for account_id, repository_id in wanted
            if repository_id in catalogs[account_id].repositories
        }

    def _keep(self, account_id: int, read: CatalogAt) -> CatalogAt:
        if read.version == 0:
            return read  # strangers must not push anybody out
        known = self._cached.get(account_id)
        newest = known if known is not None and known.version > read.version else read
        self._cached[account_id] = newest
        self._cached.move_to_end(account_id)
        if len(self._cached) > self._capacity:
            self._cached.popitem(last=False)
        return newest


def _standing_now(catalog: Catalog, repository_id: int) -> Repository | Blocked:
    repository = catalog.repositories[repository_id]
    return hindrance_of(catalog, repository) or present(catalog, repository)
