"""How installations and their repositories stand, as identity tells it: what is not active gets no delivery.

| Partition | Id | For |
|---|---|---|
| `installations` | installation id | whether deliveries may go through it |
| `installed-repositories` | repository id | the same, and its present name |
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from zekt_common.contracts.identity import InstallationChanged, RepositoryChanged
from zekt_common.envelope import Envelope, Event
from zekt_common.errors import DocumentConflict
from zekt_common.kit.consumer import Complete, Handler, Retry, Settlement
from zekt_common.ports import Put, Views
from zekt_common.ports.views import ABSENT
from zekt_dispatcher.delivery_events import Order

INSTALLATIONS: Final = "installations"
REPOSITORIES: Final = "installed-repositories"
AFTER_RACE_S: Final = 0.1
_STOPPED: Final = {
    "suspended": "the account's owner has suspended the App's installation",
    "removed": "the account's owner has uninstalled the App",
}


class _Installation(msgspec.Struct, frozen=True):
    version: int
    state: InstallationChanged


class _Repository(msgspec.Struct, frozen=True):
    version: int
    state: RepositoryChanged


class _Versioned(msgspec.Struct, frozen=True):
    version: int


class Standing:
    """Documents in `Views`; what identity has said nothing about stands in nobody's way."""

    def __init__(self, views: Views) -> None:
        self._views = views

    def handlers(self) -> Mapping[type[Event], Handler]:
        """Return the handlers by message type; each takes its message any number of times, in any order."""
        return {InstallationChanged: self._installation_changed, RepositoryChanged: self._repository_changed}

    async def refusal(self, order: Order) -> str | None:
        """Return why nothing may be delivered to the order's target now, None if it may."""
        installation = await self._installation(order.installation_id)
        if installation is not None and installation.status in _STOPPED:
            return _STOPPED[installation.status]
        repository = await self._repository(order.target_repository_id)
        if repository is None:
            return None
        if repository.installation_id != order.installation_id:
            return "the repository has changed hands since it was subscribed"
        return "the installation does not include the repository any more" if repository.status == "withdrawn" else None

    async def target(self, order: Order) -> str:
        """Return the target's present name: it may have been renamed since it was subscribed."""
        repository = await self._repository(order.target_repository_id)
        return order.target_repository if repository is None else repository.repository

    async def _installation_changed(self, state: InstallationChanged, cause: Envelope) -> Settlement:
        return await self._take(INSTALLATIONS, state.installation_id, state, cause)

    async def _repository_changed(self, state: RepositoryChanged, cause: Envelope) -> Settlement:
        return await self._take(REPOSITORIES, state.repository_id, state, cause)

    async def _take(self, partition: str, id_: int, state: Event, cause: Envelope) -> Settlement:
        """Keep the state unless a newer one is known."""
        known = await self._views.get(partition, str(id_))
        if known is not None and msgspec.json.decode(known.body, type=_Versioned).version >= cause.version:
            return Complete()
        body = msgspec.json.encode({"version": cause.version, "state": state})
        put = Put(partition=partition, id=str(id_), body=body, if_match=known.etag if known else ABSENT)
        try:
            await self._views.write([put])
        except DocumentConflict:
            return Retry(AFTER_RACE_S)
        return Complete()

    async def _installation(self, installation_id: int) -> InstallationChanged | None:
        document = await self._views.get(INSTALLATIONS, str(installation_id))
        return None if document is None else msgspec.json.decode(document.body, type=_Installation).state

    async def _repository(self, repository_id: int) -> RepositoryChanged | None:
        document = await self._views.get(REPOSITORIES, str(repository_id))
        return None if document is None else msgspec.json.decode(document.body, type=_Repository).state
