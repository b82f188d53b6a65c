"""What the router does with identity's messages: it keeps what they say, and has the catalogs concerned heed it.

A message is kept first and then looked for in the catalogs; a catalog is stored first and then what was kept is looked
up. So whichever of the two comes later finds the other.
"""

import asyncio
import secrets
from collections.abc import Mapping
from typing import Final

from msgspec.structs import asdict

from zekt_common.contracts.identity import AccountChanged, InstallationChanged, RepositoryChanged
from zekt_common.decider import ATTEMPTS
from zekt_common.envelope import Envelope, Event, NewEvent
from zekt_common.errors import StreamConflict
from zekt_common.kit.settlement import Complete, Handler, Retry, Settlement
from zekt_common.ports import EventStore, Views
from zekt_router.catalog import Heed, decide
from zekt_router.catalog_appends import append_in_portions
from zekt_router.catalog_model import AccountRecord, InstallationStanding, RepositoryStanding, catalog_stream
from zekt_router.catalogs import Catalogs
from zekt_router.heard import Heard
from zekt_router.projections import listings_of
from zekt_router.translate import SOURCE

AFTER_RACE_S: Final = 0.1
_PAGE: Final = 100


class Heeding:
    """Each message can be taken any number of times, in any order."""

    def __init__(self, store: EventStore, views: Views, catalogs: Catalogs, heard: Heard) -> None:
        self._store = store
        self._views = views
        self._catalogs = catalogs
        self._heard = heard
        self._one_at_a_time = asyncio.Lock()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """Return the handlers by message type."""
        return {
            RepositoryChanged: self._repository_changed,
            InstallationChanged: self._installation_changed,
            AccountChanged: self._account_changed,
        }

    async def settle(self, account_id: int) -> None:
        """Have the account's catalog heed all that was heard before it was as it is.

        Raises:
            StreamConflict: others kept changing the catalog.
        """
        catalog = (await self._catalogs.latest(account_id)).catalog
        heed = await self._heard.about(account_id, catalog.repositories.values())
        settled = f"settle-{secrets.token_hex(8)}"
        await self._heed(heed, correlationid=settled, causationid=settled, traceparent=None)

    async def _repository_changed(self, state: RepositoryChanged, cause: Envelope) -> Settlement:
        standing = RepositoryStanding(version=cause.version, **asdict(state))
        if not await self._heard.keep(standing):
            return Retry(AFTER_RACE_S)
        for account_id in await self._listing_accounts(state.repository_id):
            await self._heed_message(Heed(account_id=account_id, repositories=[standing]), cause)
        return Complete()

    async def _installation_changed(self, state: InstallationChanged, cause: Envelope) -> Settlement:
        standing = InstallationStanding(version=cause.version, **asdict(state))
        if not await self._heard.keep(standing):
            return Retry(AFTER_RACE_S)
        await self._heed_message(Heed(account_id=state.account_id, installations=[standing]), cause)
        return Complete()

    async def _account_changed(self, state: AccountChanged, cause: Envelope) -> Settlement:
        record = AccountRecord(version=cause.version, account_id=state.account_id, persona=state.persona, sku=state.sku)
        if not await self._heard.keep(record):
            return Retry(AFTER_RACE_S)
        await self._heed_message(Heed(account_id=state.account_id, record=record), cause)
        return Complete()

    async def _listing_accounts(self, repository_id: int) -> list[int]:
        """Return the accounts whose catalogs list the repository: its owner's, and owners' that it has left."""
        found: list[int] = []
        after = ""
        while page := await self._views.listing(listings_of(repository_id), after=after, limit=_PAGE):
            found += [int(document.id) for document in page]
            after = page[-1].id
        return found

    async def _heed_message(self, heed: Heed, cause: Envelope) -> None:
        await self._heed(heed, correlationid=cause.correlationid, causationid=cause.id, traceparent=cause.traceparent)

    async def _heed(self, heed: Heed, *, correlationid: str, causationid: str, traceparent: str | None) -> None:
        def wrapped(body: Event) -> NewEvent:
            return NewEvent(
                body=body,
                source=SOURCE,
                subject=str(heed.account_id),
                correlationid=correlationid,
                causationid=causationid,
                traceparent=traceparent,
                accountid=str(heed.account_id),
            )

        async with self._one_at_a_time:  # many repositories of one account change together
            for race in range(ATTEMPTS):
                at = await self._catalogs.latest(heed.account_id)
                events = [wrapped(body) for body in decide(at.catalog, heed)]
                if not events:
                    return
                stream = catalog_stream(heed.account_id)
                try:
                    await append_in_portions(self._store, stream, events, expected_version=at.version, stored=[])
                except StreamConflict:
                    if race == ATTEMPTS - 1:
                        raise
                else:
                    return
