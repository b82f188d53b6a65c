"""Several relays of one service, each a process: one is at work, and when it is killed another goes on."""

import asyncio
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from libs.common.tests.contracts.children import StartChild

from zekt_common.adapters.backend import Backend
from zekt_common.clock import utc_now
from zekt_common.envelope import NewEvent, decode

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("survival")]

RELAYS = 3
STREAMS = 20
EVENTS = 10
"""In each stream each time."""
PASSES_ON_WITHIN_S = 60


class Replica:
    """A relay's process, and the publications that it has told of."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.published: list[str] = []
        self._listening = asyncio.create_task(self._listen())

    async def kill(self) -> None:
        """Kill it, unless it is dead, and hear what it had still said."""
        if self.process.returncode is None:
            self.process.kill()
        await self._listening
        assert await self.process.wait() < 0

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.published.append(line.decode().strip())


async def fill(backend: Backend, note: Callable[..., NewEvent], *, after: int) -> list[str]:
    """Append to every stream, event by event, and return the ids."""

    async def one(stream: str) -> list[str]:
        appended = [
            await backend.store.append(stream, [note(stream)], expected_version=version)
            for version in range(after, after + EVENTS)
        ]
        return [event.id for events in appended for event in events]

    return [id_ for ids in await asyncio.gather(*(one(f"run/{n}") for n in range(STREAMS))) for id_ in ids]


async def take(backend: Backend, wanted: set[str], received: Counter[str]) -> None:
    """Receive until all that is wanted has come."""
    receiver = backend.bus.subscribe("ingress", "router")
    async with asyncio.timeout(PASSES_ON_WITHIN_S):
        while not wanted <= set(received):
            messages = await receiver.receive(1000, timeout_s=0.5)
            await asyncio.gather(*(receiver.complete(message) for message in messages))
            received.update(decode(message.body).id for message in messages)


async def test_of_three_relays_one_publishes_and_another_goes_on_when_it_is_killed(
    start: StartChild, open_engine: Any, tmp_path: Path, note: Callable[..., NewEvent]
) -> None:
    async with AsyncExitStack() as stack:
        replicas = [Replica(await start("relay", "")) for _ in range(RELAYS)]
        for replica in replicas:
            stack.push_async_callback(replica.kill)
        backend = await stack.enter_async_context(open_engine(tmp_path, utc_now))
        received: Counter[str] = Counter()
        stored = await fill(backend, note, after=0)
        await take(backend, set(stored[: len(stored) // 2]), received)
        [holder] = [replica for replica in replicas if replica.published]
        more = asyncio.create_task(fill(backend, note, after=EVENTS))
        await take(backend, set(stored), received)
        await holder.kill()
        stored += await more
        stored += await fill(backend, note, after=2 * EVENTS)
        await take(backend, set(stored), received)
        await take_what_is_left(backend, received)
    raw = Counter(id_ for replica in replicas for id_ in replica.published)
    assert set(raw) == set(received) == set(stored)
    assert set(received.values()) == {1}
    assert sum(bool(replica.published) for replica in replicas) == 2


async def take_what_is_left(backend: Backend, received: Counter[str]) -> None:
    """Receive whatever else is there: it would be a repeat."""
    receiver = backend.bus.subscribe("ingress", "router")
    for message in await receiver.receive(1000, timeout_s=1.0):
        await receiver.complete(message)
        received[decode(message.body).id] += 1
