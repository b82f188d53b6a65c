"""What a relay says was published must survive the loss of power, be it said to others or to itself."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, ClassVar

import pytest
from libs.common.tests.patience import PATIENCE_S

from zekt_common.adapters.embedded import Backend
from zekt_common.envelope import Event, NewEvent, seal
from zekt_common.errors import StorageUnusable
from zekt_common.kit.checkpoints import PARTITION
from zekt_common.kit.relay import Relay
from zekt_common.ports import Bus, OutgoingMessage

Start = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
SYNC, MARK = "sync", "mark"


class Noted(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.noted"


def noted(subject: str) -> NewEvent:
    return NewEvent(body=Noted(), source="test", subject=subject, correlationid="c", causationid="c")


def mark(through: datetime) -> OutgoingMessage:
    return OutgoingMessage(envelope=seal(noted(MARK), stream=MARK, version=1, commitid="c", time=through))


class Noting:
    """The bus with a note of what was published and synced, in order; its disk may fail."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.steps: list[str] = []
        self.disk_fails = False
        self.subscribe, self.dead_letters = bus.subscribe, bus.dead_letters

    async def publish(self, topic: str, messages: Sequence[OutgoingMessage], /) -> None:
        await self._bus.publish(topic, messages)
        self.steps += [message.envelope.subject for message in messages]

    async def sync(self) -> None:
        if self.disk_fails:
            raise StorageUnusable("the disk failed")
        await self._bus.sync()
        self.steps.append(SYNC)


@pytest.fixture
def bus(backend: Backend) -> Noting:
    return Noting(backend.bus)


def relay(backend: Backend, bus: Bus) -> Relay:
    return Relay(
        backend.store,
        bus,
        backend.views,
        backend.leases,
        topic="ingress",
        translate=lambda envelope: [OutgoingMessage(envelope=envelope)],
        watermark=mark,
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - the relay tells nobody
            await asyncio.sleep(0.005)


async def test_a_watermark_follows_what_it_speaks_of_only_after_a_sync(
    backend: Backend, bus: Noting, start: Start
) -> None:
    start(relay(backend, bus).run())
    for number in range(3):
        await backend.store.append(f"notes/{number}", [noted(f"{number}")], expected_version=0)
        await until(lambda: bus.steps[-1:] == [MARK])
        bus.steps.append("")
    await until(lambda: "2" in bus.steps and bus.steps[-1] == MARK)
    for index, step in enumerate(bus.steps):
        if step == MARK:
            told = [earlier for earlier in bus.steps[:index] if earlier.isdigit() or earlier == SYNC]
            assert not told or told[-1] == SYNC


async def test_a_checkpoint_is_not_saved_while_the_bus_cannot_be_synced(
    backend: Backend, bus: Noting, start: Start
) -> None:
    bus.disk_fails = True
    await backend.store.append("notes/1", [noted("1")], expected_version=0)
    relaying = start(relay(backend, bus).run())
    await until(lambda: "1" in bus.steps)
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)
    assert await backend.views.listing(PARTITION) == []
    assert MARK not in bus.steps
