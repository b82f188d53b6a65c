"""Keeps the picture of the App's installations true: one by one as webhooks come, and all of them now and then."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from datetime import datetime
from typing import Final

import msgspec
import structlog

from zekt_common.clock import Clock, utc_now
from zekt_common.ports import Document, Views
from zekt_identity import installation, repository
from zekt_identity.app_view import AppView
from zekt_identity.github_app import GitHubRefused, GitHubUnavailable, RateLimited
from zekt_identity.installation import INSTALLATION, InstallationFacts
from zekt_identity.ledger import Ledger
from zekt_identity.projections import INSTALLATIONS, lost_by, repositories_of
from zekt_identity.repository import REPOSITORY, RepositoryFacts

_PAGE: Final = 500
_GONE: Final = ("installation_not_found", "installation_suspended")

log = structlog.get_logger()


class Installations:
    """Observes installations and their repositories; what is stored already is not stored again."""

    def __init__(self, ledger: Ledger, views: Views, app: AppView, *, clock: Clock = utc_now) -> None:
        self._ledger = ledger
        self._views = views
        self._app = app
        self._clock = clock

    async def find(self, installation_id: int) -> InstallationFacts | None:
        """Return the installation as the views have it."""
        document = await self._views.get(INSTALLATIONS, str(installation_id))
        return None if document is None else msgspec.json.decode(document.body, type=InstallationFacts)

    async def may_cover(self, installation_id: int, repository_ids: Iterable[int]) -> bool:
        """Return False if the installation is known not to be active, or to have lost one of these repositories."""
        facts, has_lost = await asyncio.gather(
            self.find(installation_id), self._has_lost(installation_id, repository_ids)
        )
        return not has_lost and (facts is None or facts.status == "active")

    async def _has_lost(self, installation_id: int, repository_ids: Iterable[int]) -> bool:
        lost = lost_by(installation_id)
        return any(await asyncio.gather(*(self._views.get(lost, str(each)) for each in repository_ids)))

    async def observe(self, facts: InstallationFacts, asked_at: datetime) -> None:
        """Store the installation as it is, if that is news."""
        stream = installation.stream_of(facts.installation_id)
        await self._ledger.execute(INSTALLATION, stream, installation.Observe(facts, asked_at))

    async def withdraw(self, repository_id: int, installation_id: int, asked_at: datetime) -> None:
        """Store that the repository is not in this installation, if that is news."""
        stream = repository.stream_of(repository_id)
        await self._ledger.execute(REPOSITORY, stream, repository.Withdraw(installation_id, asked_at))

    async def refresh(self, installation_id: int) -> None:
        """Ask GitHub about one installation and its repositories.

        Raises:
            GitHubUnavailable: not now.
            GitHubRefused: GitHub does not know the App.
        """
        asked_at = self._clock()
        facts = await self._app.installation(installation_id)
        if facts is None:
            await self._remove(installation_id, asked_at)
        else:
            await self._take(facts, asked_at)

    async def reconcile(self) -> int:
        """Ask GitHub about every installation, so that what no webhook told is known too.

        Return of how many GitHub did not tell: one that fails holds up no other, and is left as it is known.

        Raises:
            GitHubUnavailable: GitHub lists no installations now, or the App has spent its limit.
            GitHubRefused: GitHub does not know the App.
        """
        asked_at, failed = self._clock(), 0
        found = {facts.installation_id: facts for facts in await self._app.installations()}
        for facts in found.values():
            failed += not await self._succeeds(facts.installation_id, self._take(facts, asked_at))
        async for document in self._all(INSTALLATIONS):
            installation_id = int(document.id)
            if installation_id not in found:
                failed += not await self._succeeds(installation_id, self._confirm(document, asked_at))
        return failed

    async def _succeeds(self, installation_id: int, step: Awaitable[None]) -> bool:
        try:
            await step
        except RateLimited:
            raise
        except (GitHubUnavailable, GitHubRefused) as error:
            reason = error.code if isinstance(error, GitHubRefused) else str(error)
            log.warning("installation_not_reconciled", installation_id=installation_id, reason=reason)
            return False
        return True

    async def _confirm(self, document: Document, asked_at: datetime) -> None:
        """Ask GitHub about the very installation before it is taken to be gone: the list may have missed it."""
        known = msgspec.json.decode(document.body, type=InstallationFacts)
        if known.status == "removed":
            await self._remove(known.installation_id, asked_at)
        else:
            await self.refresh(known.installation_id)

    async def _take(self, facts: InstallationFacts, asked_at: datetime) -> None:
        if facts != await self.find(facts.installation_id):
            await self.observe(facts, asked_at)
        if facts.status == "active":
            await self._take_repositories(facts.installation_id)

    async def _take_repositories(self, installation_id: int) -> None:
        asked_at = self._clock()
        known = {document.id: document.body async for document in self._all(repositories_of(installation_id))}
        try:
            covered = await self._covered(installation_id, frozenset(known))
        except GitHubRefused as error:
            if error.code in _GONE:  # meanwhile: its own webhook says so
                return
            raise
        for id_, facts in covered.items():
            body = known.pop(id_, None)
            if body is None or msgspec.json.decode(body, type=RepositoryFacts) != facts:
                stream = repository.stream_of(facts.repository_id)
                await self._ledger.execute(REPOSITORY, stream, repository.Observe(facts, asked_at))
        for repository_id in known:
            await self.withdraw(int(repository_id), installation_id, asked_at)

    async def _covered(self, installation_id: int, known: frozenset[str]) -> dict[str, RepositoryFacts]:
        """Return the repositories by id; if known ones are missing, of two lists what is in either."""
        covered = await self._listed(installation_id)
        return covered if known <= covered.keys() else covered | await self._listed(installation_id)

    async def _listed(self, installation_id: int) -> dict[str, RepositoryFacts]:
        return {str(facts.repository_id): facts for facts in await self._app.repositories(installation_id)}

    async def _remove(self, installation_id: int, asked_at: datetime) -> None:
        known = await self.find(installation_id)
        if known is None:
            return
        await self.observe(msgspec.structs.replace(known, status="removed"), asked_at)
        async for document in self._all(repositories_of(installation_id)):
            await self.withdraw(int(document.id), installation_id, asked_at)

    async def _all(self, partition: str) -> AsyncIterator[Document]:
        after = ""
        while page := await self._views.listing(partition, after=after, limit=_PAGE):
            for document in page:
                yield document
            after = page[-1].id
