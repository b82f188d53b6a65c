"""What identity knows of session keys and ends: fresh, and not looked up for each who asks."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from zekt_common.adapters.embedded import open_backend
from zekt_common.kit.projector import Projector
from zekt_common.ports import Document, Put, Remove, Views
from zekt_identity.key_ring import PARTITION, KeyRing
from zekt_identity.ledger import Ledger
from zekt_identity.projections import project
from zekt_identity.sealing import Sealer
from zekt_identity.sessions import Sessions


class Watched:
    """Views that note each look at the keys, and hold it up while they are told to."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self.looks = 0
        self.looking = asyncio.Event()
        self.let_through = asyncio.Event()
        self.let_through.set()

    async def get(self, partition: str, id_: str, /) -> Document | None:
        return await self._views.get(partition, id_)

    async def listing(
        self, partition: str, /, *, after: str = "", limit: int = 100, descending: bool = False
    ) -> list[Document]:
        if partition == PARTITION:
            self.looks += 1
            self.looking.set()
            await self.let_through.wait()
        return await self._views.listing(partition, after=after, limit=limit, descending=descending)

    async def write(self, changes: Sequence[Put | Remove], /, *, durable: bool = True) -> list[str]:
        return await self._views.write(changes, durable=durable)


@asynccontextmanager
async def sessions_over(data_dir: Path) -> AsyncIterator[tuple[Sessions, Watched]]:
    async with open_backend(data_dir, "identity") as backend:
        views = Watched(backend.views)
        ledger = Ledger(backend.store, Projector(backend.store, backend.views, name="identity", project=project))
        ring = KeyRing(views, Sealer(backend.keys))
        yield Sessions(ledger, views, ring, public_url="https://zekt.test"), views


async def test_a_flood_of_tokens_of_unknown_keys_is_answered_from_few_looks(tmp_path: Path) -> None:
    async with sessions_over(tmp_path) as (sessions, views):
        started = asyncio.get_running_loop().time()
        for batch in range(5):
            await asyncio.gather(*(sessions.key_set(f"unknown-{batch}-{number}") for number in range(100)))
        took_s = asyncio.get_running_loop().time() - started
        assert 1 <= views.looks <= 2 + took_s * 10


async def test_what_ends_while_a_look_is_under_way_is_looked_for_again(tmp_path: Path) -> None:
    async with sessions_over(tmp_path) as (sessions, views):
        views.let_through.clear()
        looking = asyncio.create_task(sessions.key_set())
        await views.looking.wait()
        sessions.look_again()
        views.let_through.set()
        await looking
        await sessions.key_set()
        assert views.looks == 2


async def test_while_the_views_cannot_be_read_nobody_is_told_what_was_known_before(tmp_path: Path) -> None:
    async with sessions_over(tmp_path) as (sessions, views):
        await sessions.key_set()
        sessions.look_again()
        views.let_through.clear()
        views.looking.clear()
        looking = asyncio.create_task(sessions.key_set())
        await views.looking.wait()
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        views.let_through.set()
        await sessions.key_set()
        assert views.looks == 3
