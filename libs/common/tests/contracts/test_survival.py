"""What other processes do, and what is left when they are killed in the middle of it."""

import asyncio
import random
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from libs.common.tests.contracts.children import StartChild, told

from zekt_common.adapters.backend import Backend
from zekt_common.clock import utc_now
from zekt_common.envelope import Envelope
from zekt_common.errors import LockLost
from zekt_common.ports import OutgoingMessage, Receiver

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("survival")]

KILLS = 4
RECEIVES_WITHIN_S = 2.0
LEASE_PASSES_WITHIN_S = 60


async def told_until_killed(process: Process, lines: int) -> list[str]:
    """Return all that the process told before it was killed, which is at a random moment after so many lines."""
    heard = [await told(process) for _ in range(lines)]
    await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311 - any moment will do
    process.kill()
    rest, _ = await process.communicate()
    return heard + rest.decode().split("\n")[:-1]


async def all_events(backend: Backend) -> list[Envelope]:
    events: list[Envelope] = []
    for feed in await backend.store.feeds():
        page = await backend.store.read_feed(feed)
        while page.events:
            events += page.events
            page = await backend.store.read_feed(feed, page.cursor)
    return events


async def all_messages(receiver: Receiver) -> list[str]:
    """Receive until nothing is left; what is completed at once cannot come again.

    What took so long that its lock had ended was completed all the same, or comes again.
    """
    received: list[str] = []
    doubtful: set[str] = set()
    while await receiver.backlog():
        messages = await receiver.receive(1000, timeout_s=RECEIVES_WITHIN_S)
        settled = await asyncio.gather(*(receiver.complete(message) for message in messages), return_exceptions=True)
        for message, error in zip(messages, settled, strict=True):
            if error is None:
                received.append(message.message_id)
            elif isinstance(error, LockLost):
                doubtful.add(message.message_id)
            else:
                raise error
    return [*received, *(doubtful - set(received))]


async def test_no_acknowledged_event_is_lost_or_doubled_by_a_kill(
    start: StartChild, open_engine: Any, tmp_path: Path
) -> None:
    acknowledged: list[str] = []
    for kill in range(KILLS):
        acknowledged += await told_until_killed(await start("append", f"run/{kill}"), lines=50 * (kill + 1))
    async with open_engine(tmp_path, utc_now) as backend:
        events = await all_events(backend)
        stored = Counter(event.id for event in events)
        assert set(acknowledged) <= set(stored)
        assert set(stored.values()) == {1}
        for stream in {event.stream for event in events}:
            versions = [event.version for event in await backend.store.read(stream)]
            assert versions == list(range(1, len(versions) + 1))


async def test_no_acknowledged_message_is_lost_or_doubled_by_a_kill(
    start: StartChild, open_engine: Any, tmp_path: Path
) -> None:
    acknowledged: list[str] = []
    for kill in range(KILLS):
        acknowledged += await told_until_killed(await start("publish", f"run/{kill}"), lines=50 * (kill + 1))
    async with open_engine(tmp_path, utc_now) as backend:
        received = Counter(await all_messages(backend.bus.subscribe("ingress", "router")))
        assert set(acknowledged) <= set(received)
        assert set(received.values()) == {1}


async def test_a_killed_consumer_leaves_every_message_it_did_not_complete(
    start: StartChild, open_engine: Any, tmp_path: Path, envelope: Callable[..., Envelope], manual_clock: Any
) -> None:
    published = [f"run/{n}" for n in range(600)]
    async with open_engine(tmp_path, utc_now) as backend:
        await backend.bus.publish("ingress", [OutgoingMessage(envelope=envelope(stream)) for stream in published])
    lines = await told_until_killed(await start("consume", ""), lines=150)
    completed = {line.removeprefix("completed ") for line in lines if line.startswith("completed")}
    received = {line.removeprefix("received ") for line in lines if line.startswith("received")}
    clock = manual_clock()
    clock.now = utc_now()
    clock.advance(60)
    async with open_engine(tmp_path, clock) as backend:
        left = Counter(await all_messages(backend.bus.subscribe("ingress", "router")))
    everything = {f"{stream}@1" for stream in published}
    assert set(left.values()) == {1}
    assert not completed & set(left)
    assert everything - received <= set(left)
    assert everything - set(left) <= received


async def test_processes_that_write_at_once_lose_nothing(start: StartChild, open_engine: Any, tmp_path: Path) -> None:
    writers = [await start(work, f"run/{n}") for n, work in enumerate(("append", "append", "publish", "publish"))]
    heard = await asyncio.gather(*(told_until_killed(writer, lines=400) for writer in writers))
    async with open_engine(tmp_path, utc_now) as backend:
        stored = Counter(event.id for event in await all_events(backend))
        received = Counter(await all_messages(backend.bus.subscribe("ingress", "router")))
    assert set(heard[0]) | set(heard[1]) <= set(stored)
    assert set(heard[2]) | set(heard[3]) <= set(received)
    assert set(stored.values()) == set(received.values()) == {1}


async def test_a_killed_holders_lease_passes_on(start: StartChild, open_engine: Any, tmp_path: Path) -> None:
    leader = await start("lead", "relay/ingress")
    assert await told(leader) == "leading"
    async with open_engine(tmp_path, utc_now) as backend:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.6), backend.leases.hold("relay/ingress"):
                pass
        leader.kill()
        async with asyncio.timeout(LEASE_PASSES_WITHIN_S), backend.leases.hold("relay/ingress"):
            assert await leader.wait() < 0
