"""What ingress does with the router's messages: it keeps its view of the catalogs."""

from collections.abc import Mapping
from typing import Final

from zekt_common.contracts.router import CatalogAdvanced, RepositoryChanged, ServiceChanged, SubscriptionChanged
from zekt_common.envelope import Envelope, Event
from zekt_common.errors import DocumentConflict
from zekt_common.kit.consumer import Complete, Handler, Retry, Settlement
from zekt_ingress.catalog_view import CatalogView, Entity

RACES: Final = 3
AFTER_RACES_S: Final = 0.1


def handlers(view: CatalogView) -> Mapping[type[Event], Handler]:
    """Return the handlers by message type; each takes its message any number of times, in any order."""

    async def keep(entity: Entity, cause: Envelope) -> Settlement:
        for _ in range(RACES):
            try:
                await view.take(entity, cause)
            except DocumentConflict:
                continue
            return Complete()
        return Retry(AFTER_RACES_S)

    async def advance(_event: CatalogAdvanced, cause: Envelope) -> Settlement:
        await view.note(cause)
        return Complete()

    return {RepositoryChanged: keep, ServiceChanged: keep, SubscriptionChanged: keep, CatalogAdvanced: advance}
