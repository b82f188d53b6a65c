import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar

import msgspec
import pytest
from libs.common.tests.patience import PATIENCE_S

from zekt_common.adapters.embedded import Backend
from zekt_common.envelope import Envelope, Event, NewEvent
from zekt_common.kit.projector import PAGE, PAGES_AHEAD, Projector
from zekt_common.ports import Document, FeedPage, Put, Remove

Start = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Noted(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.noted"
    n: int


def noted(n: int) -> NewEvent:
    return NewEvent(body=Noted(n=n), source="test", subject=f"{n}", correlationid=f"{n}", causationid=f"{n}")


def fold(envelope: Envelope) -> Sequence[Put | Remove]:
    """Keep the newest note of each stream; a negative one removes it; every event gets a line in the log."""
    n = msgspec.json.decode(envelope.data, type=Noted).n
    line = Put(partition="log", id=f"{envelope.stream}@{envelope.version:06d}", body=b"%d" % n)
    if n < 0:
        return [line, Remove(partition="notes", id=envelope.stream)]
    return [line, Put(partition="notes", id=envelope.stream, body=b"%d" % n)]


def projector(backend: Backend) -> Projector:
    return Projector(backend.store, backend.views, name="notes", project=fold)


async def store(backend: Backend, numbers: Sequence[int], stream: str = "notes/1") -> list[Envelope]:
    version = len(await backend.store.read(stream))
    return await backend.store.append(stream, [noted(n) for n in numbers], expected_version=version)


async def documents(backend: Backend, partition: str) -> dict[str, bytes]:
    return {document.id: document.body for document in await backend.views.listing(partition, limit=10_000)}


async def test_a_writer_can_wait_for_its_own_write(backend: Backend, start: Start) -> None:
    projecting = projector(backend)
    start(projecting.run())
    for n in range(20):
        stored = await store(backend, [n])
        async with asyncio.timeout(PATIENCE_S):
            await (projecting.wait_for_events(stored) if n % 2 else projecting.wait_for_stored())
        assert await documents(backend, "notes") == {"notes/1": b"%d" % n}


class NeverDone:
    """Store and views under a load that never ends: whenever something is projected, something else is stored.

    Nothing is ever said to be the last, since stamps may run backwards.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._loads = itertools.count()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend.store, name)

    async def read_feed(self, feed: str, /, cursor: str = "", limit: int = 1000) -> FeedPage:
        page = await self._backend.store.read_feed(feed, cursor, limit)
        return FeedPage(page.events, page.cursor)

    async def get(self, partition: str, id_: str, /) -> Document | None:
        return await self._backend.views.get(partition, id_)

    async def write(self, changes: Sequence[Put | Remove], /, *, durable: bool = True) -> list[str]:
        await store(self._backend, [0], f"load/{next(self._loads)}")
        return await self._backend.views.write(changes, durable=durable)


async def test_who_waits_for_some_events_or_for_all_that_is_stored_waits_for_no_later_ones(
    backend: Backend, start: Start
) -> None:
    busy: Any = NeverDone(backend)
    projecting = Projector(busy, busy, name="notes", project=fold)
    start(projecting.run())
    for n in range(6):
        stored = [*await store(backend, [n, n]), *await store(backend, [n], f"notes/{n + 2}")]
        for _ in range(2):  # the second finds them projected already
            async with asyncio.timeout(PATIENCE_S):
                await (projecting.wait_for_events(stored) if n % 2 else projecting.wait_for_stored())
        notes = await documents(backend, "notes")
        assert (notes["notes/1"], notes[f"notes/{n + 2}"]) == (b"%d" % n, b"%d" % n)


async def test_all_that_is_stored_may_be_more_than_is_looked_at_in_one_go(backend: Backend, start: Start) -> None:
    count = PAGE * PAGES_AHEAD + 1
    for number in range(0, count, 50):
        await store(backend, range(number, min(number + 50, count)), f"notes/{number}")
    projecting = projector(backend)
    waiting = asyncio.create_task(projecting.wait_for_stored())
    await asyncio.sleep(0)
    start(projecting.run())
    async with asyncio.timeout(PATIENCE_S):
        await waiting
    assert len(await documents(backend, "log")) == count


async def test_waiting_for_no_event_ends_at_once(backend: Backend) -> None:
    await store(backend, [1])
    await projector(backend).wait_for_events([])


async def test_what_another_process_has_projected_is_waited_for_no_longer(backend: Backend, start: Start) -> None:
    stored = await store(backend, [1, 2])
    first, second = projector(backend), projector(backend)
    running = start(first.run())
    await first.wait_for_events(stored)
    running.cancel()
    await asyncio.wait([running])
    async with asyncio.timeout(PATIENCE_S):
        await second.wait_for_events(stored)
    assert second.projected == 0


async def test_the_last_change_of_a_document_wins_within_a_page(backend: Backend, start: Start) -> None:
    await store(backend, [1, -1, 2])
    await store(backend, [1, 2, -1], "notes/2")
    projecting = projector(backend)
    start(projecting.run())
    await projecting.caught_up.wait()
    assert await documents(backend, "notes") == {"notes/1": b"2"}
    assert len(await documents(backend, "log")) == 6


async def test_caught_up_comes_after_the_whole_history_not_after_the_first_page(backend: Backend, start: Start) -> None:
    for portion in range(20):
        await store(backend, range(80), f"notes/{portion % 4}")
    projecting = projector(backend)
    start(projecting.run())
    await projecting.caught_up.wait()
    assert projecting.projected == 1600
    assert await projecting.lag() == 0


async def test_a_restarted_projector_goes_on_where_it_was(backend: Backend, start: Start) -> None:
    first, second = projector(backend), projector(backend)
    await store(backend, range(5))
    running = start(first.run())
    await first.wait_for_stored()
    running.cancel()
    await asyncio.wait([running])
    start(second.run())
    await second.wait_for_events(await store(backend, [5]))
    assert (first.projected, second.projected) == (5, 1)


async def test_two_projectors_at_once_are_as_good_as_one(backend: Backend, start: Start) -> None:
    both = projector(backend), projector(backend)
    for projecting in both:
        start(projecting.run())
    for n in range(40):
        await store(backend, range(n, n + 3))
    for projecting in both:
        async with asyncio.timeout(PATIENCE_S):
            await projecting.wait_for_stored()
    assert await documents(backend, "notes") == {"notes/1": b"41"}
    assert len(await documents(backend, "log")) == 120


async def test_a_rebuild_brings_back_what_was_lost_and_drops_what_no_event_made(backend: Backend, start: Start) -> None:
    projecting = projector(backend)
    start(projecting.run())
    await store(backend, [1, 2, 3])
    await projecting.wait_for_stored()
    await backend.views.write([Remove(partition="notes", id="notes/1"), Put(partition="notes", id="stray", body=b"0")])
    await projecting.rebuild(["notes"])
    async with asyncio.timeout(PATIENCE_S):
        while await documents(backend, "notes") != {"notes/1": b"3"}:  # noqa: ASYNC110 - another writer's doing
            await asyncio.sleep(0.01)
    await projecting.caught_up.wait()
    assert projecting.projected == 6


@pytest.mark.parametrize("seed", range(8))
async def test_a_projector_killed_at_any_moment_ends_with_the_same_views(backend: Backend, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a spread of moments
    stored: list[Envelope] = []
    for _ in range(12):
        running = asyncio.create_task(projector(backend).run())
        for _ in range(chance.randrange(4)):
            numbers = [chance.randrange(-3, 10) for _ in range(chance.randrange(1, 30))]
            stored += await store(backend, numbers, f"notes/{chance.randrange(3)}")
        await asyncio.sleep(chance.uniform(0, 0.02))
        running.cancel()
        await asyncio.wait([running])
    last = projector(backend)
    running = asyncio.create_task(last.run())
    await last.caught_up.wait()
    running.cancel()
    await asyncio.wait([running])
    notes: dict[str, bytes] = {}
    for envelope in stored:
        n = msgspec.json.decode(envelope.data, type=Noted).n
        notes[envelope.stream] = b"%d" % n
        if n < 0:
            del notes[envelope.stream]
    assert await documents(backend, "notes") == notes
    assert len(await documents(backend, "log")) == len(stored)
