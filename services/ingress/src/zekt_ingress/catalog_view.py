"""Ingress's view of the catalogs: who may send, and how many approved subscriptions a message concerns.

Documents lie below their catalog's stream, which is named for the owner, so that a repository that changed hands is not
found through its new owner's token. A newer version wins; a removal stays as a tombstone with its version.
"""

from collections.abc import AsyncIterator
from typing import Final, TypeVar

import msgspec

from zekt_common.contracts.router import RepositoryChanged, ServiceChanged, SubscriptionChanged
from zekt_common.envelope import Envelope
from zekt_common.ports import Document, Put, Views
from zekt_common.ports.views import ABSENT
from zekt_ingress.seen_events import SeenEvents

Entity = RepositoryChanged | ServiceChanged | SubscriptionChanged

PAGE: Final = 500

T = TypeVar("T")


class _Versioned(msgspec.Struct, frozen=True):
    version: int


class _Repository(msgspec.Struct, frozen=True):
    version: int
    state: RepositoryChanged


class _Service(msgspec.Struct, frozen=True):
    version: int
    state: ServiceChanged


class _Subscription(msgspec.Struct, frozen=True):
    version: int
    state: SubscriptionChanged


class CatalogView:
    """Documents in `Views`; any process may write them, and any may read."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self.seen = SeenEvents(views)

    async def take(self, entity: Entity, cause: Envelope) -> None:
        """Keep the entity's state unless a newer one is known, and note that the event has been seen.

        Raises:
            DocumentConflict: somebody else wrote the same entity in between; taking it again settles it.
        """
        partition, id_ = _place(entity, cause.stream)
        known = await self._views.get(partition, id_)
        if known is not None and msgspec.json.decode(known.body, type=_Versioned).version >= cause.version:
            await self.note(cause)
            return
        body = msgspec.json.encode({"version": cause.version, "state": entity})
        put = Put(partition=partition, id=id_, body=body, if_match=known.etag if known else ABSENT)
        await self._write([put, self.seen.mark(cause)])

    async def note(self, cause: Envelope) -> None:
        """Note that the event has been seen, though it changes nothing here."""
        await self._write([self.seen.mark(cause)])

    async def is_provider(self, owner_id: int, repository_id: int) -> bool:
        """Return whether this owner has enabled this repository as a provider."""
        found = await self._views.get(f"{_stream(owner_id)}/repositories", str(repository_id))
        if found is None:
            return False
        repository = msgspec.json.decode(found.body, type=_Repository).state
        return not repository.removed and "provider" in repository.enabled_as

    async def subscribers(self, owner_id: int, repository_id: int, workflow_path: str, event_type: str) -> int:
        """Return how many approved subscriptions a message of this type from this workflow concerns."""
        stream = _stream(owner_id)
        count = 0
        async for document in self._all(f"{stream}/services"):
            service = msgspec.json.decode(document.body, type=_Service).state
            if _offers(service, repository_id, workflow_path, event_type):
                count += await self._approved(f"{stream}/subscriptions/{service.slug}", event_type)
        return count

    async def _approved(self, partition: str, event_type: str) -> int:
        count = 0
        async for document in self._all(partition):
            subscription = msgspec.json.decode(document.body, type=_Subscription).state
            wanted = not subscription.event_types or event_type in subscription.event_types
            count += subscription.status == "approved" and wanted and not subscription.removed
        return count

    async def _all(self, partition: str) -> AsyncIterator[Document]:
        after = ""
        while page := await self._views.listing(partition, after=after, limit=PAGE):
            for document in page:
                yield document
            after = page[-1].id

    async def _write(self, changes: list[Put]) -> None:
        await self._views.write(changes)
        self.seen.tell()


def _stream(owner_id: int) -> str:
    return f"catalog/{owner_id}"


def _place(entity: Entity, stream: str) -> tuple[str, str]:
    """Return the entity's partition and id. A service or subscription may come to lie in another repository."""
    match entity:
        case RepositoryChanged():
            return f"{stream}/repositories", str(entity.repository_id)
        case ServiceChanged():
            return f"{stream}/services", entity.slug
        case SubscriptionChanged():
            return f"{stream}/subscriptions/{entity.service_slug}", entity.subscription_id


def _offers(service: ServiceChanged, repository_id: int, workflow_path: str, event_type: str) -> bool:
    return (
        not service.removed
        and (service.repository_id, service.workflow_path) == (repository_id, workflow_path)
        and (not service.event_types or event_type in service.event_types)
    )
