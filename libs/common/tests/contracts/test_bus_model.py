"""The bus against a model: random publications, settlements and passing time; nothing is lost or comes twice."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from libs.common.tests.receiving import take

from zekt_common.contracts.topology import DUPLICATE_WINDOW_S, SUBSCRIPTIONS
from zekt_common.envelope import Envelope
from zekt_common.errors import LockLost
from zekt_common.ports import OutgoingMessage, ReceivedMessage

LOCK_S = next(each.lock_s for each in SUBSCRIPTIONS if (each.topic, each.name) == ("ingress", "router"))


class Expected(msgspec.Struct):
    """What the model knows of one message."""

    id: str
    place: int
    due: float
    attempt: int = 1
    locked_until: float = 0.0
    held: ReceivedMessage | None = None


class Machine:
    """Does each step on the bus and on the model, and compares."""

    def __init__(self, backend: Any, clock: Any, envelope: Callable[..., Envelope], *, counts_scheduled: bool) -> None:
        self.counts_scheduled = counts_scheduled
        self.bus, self.clock, self.envelope = backend.bus, clock, envelope
        self.receiver = backend.bus.subscribe("ingress", "router")
        self.now = 0.0
        self.published = 0
        self.messages: list[Expected] = []
        self.seen: dict[str, float] = {}
        self.received: list[tuple[ReceivedMessage, Expected]] = []
        self.dead: list[str] = []

    async def publish(self, first: int, count: int) -> None:
        streams = [f"run/{n}" for n in range(first, first + count)]
        await self.bus.publish("ingress", [OutgoingMessage(envelope=self.envelope(stream)) for stream in streams])
        for id_ in (f"{stream}@1" for stream in streams):
            if self.now - self.seen.get(id_, -1e9) >= DUPLICATE_WINDOW_S:
                self.published += 1
                self.seen[id_] = self.now
                self.messages.append(Expected(id_, self.published, self.now))

    async def receive(self, limit: int, _: int) -> None:
        """Whatever is free comes, oldest first; engines differ in the order of those that became due at once."""
        free = sorted((each for each in self.messages if self._is_free(each)), key=lambda each: (each.due, each.place))
        expected = min(limit, len(free))
        got = await (
            take(self.receiver, expected, limit=limit) if expected else self.receiver.receive(limit, timeout_s=0)
        )
        assert len(got) == expected
        for message, due in zip(got, [each.due for each in free], strict=False):
            model = next(each for each in free if (each.id, each.attempt, each.due) == (*_identity(message), due))
            free.remove(model)
            model.held, model.locked_until = message, self.now + LOCK_S
            self.received.append((message, model))

    async def complete(self, which: int, _: int) -> None:
        await self._settle(which, self.receiver.complete, self.messages.remove)

    async def dead_letter(self, which: int, _: int) -> None:
        def bury(model: Expected) -> None:
            self.messages.remove(model)
            self.dead.append(model.id)

        await self._settle(which, lambda message: self.receiver.dead_letter(message, "broken"), bury)

    async def retry(self, which: int, after_s: int) -> None:
        def again(model: Expected) -> None:
            model.attempt += 1
            model.id = f"{model.id.partition('~')[0]}~router~r{model.attempt}"
            model.due, model.locked_until, model.held = self.now + after_s, 0.0, None

        await self._settle(which, lambda message: self.receiver.retry(message, after_s=after_s), again)

    async def renew(self, which: int, _: int) -> None:
        def longer(model: Expected) -> None:
            model.locked_until = self.now + LOCK_S

        await self._settle(which, self.receiver.renew, longer)

    async def release(self, which: int, _: int) -> None:
        if not self.received:
            return
        message, model = self.received[which % len(self.received)]
        await self.receiver.release([message])
        if self._holds(message, model):
            model.locked_until, model.held = 0.0, None

    async def advance(self, seconds: int, tens: int) -> None:
        self.now += seconds + 10 * tens
        self.clock.advance(seconds + 10 * tens)

    async def finish(self) -> None:
        """Whatever is left comes once every lock has ended and every retry is due, and nothing else does."""
        counted = [each for each in self.messages if self.counts_scheduled or each.due <= self.now]
        assert await self.receiver.backlog() == len(counted)
        assert await self.receiver.is_empty() == (not self.messages)
        dead = await self.bus.dead_letters("ingress", "router", limit=1000)
        assert [letter.message_id for letter in dead] == self.dead
        await self.advance(1000, 0)
        await self.receive(1000, 0)
        for model in list(self.messages):
            assert model.held is not None
            await self.receiver.complete(model.held)
        assert await self.receiver.backlog() == 0

    async def _settle(self, which: int, act: Any, then: Callable[[Expected], None]) -> None:
        if not self.received:
            return
        message, model = self.received[which % len(self.received)]
        if self._holds(message, model):
            await act(message)
            then(model)
            return
        with pytest.raises(LockLost):
            await act(message)

    def _is_free(self, model: Expected) -> bool:
        return model.due <= self.now and model.locked_until <= self.now

    def _holds(self, message: ReceivedMessage, model: Expected) -> bool:
        return model in self.messages and model.held is message and model.locked_until > self.now


def _identity(message: ReceivedMessage) -> tuple[str, int]:
    return message.message_id, message.attempt


STEPS = ["publish", "publish", "receive", "receive", "complete", "retry", "dead_letter", "renew", "release", "advance"]

step = st.tuples(st.sampled_from(STEPS), st.integers(0, 12), st.integers(1, 6))


@pytest.fixture
def effort(engine: str) -> settings:
    """As many runs of random steps as an engine makes in reasonable time; over a wire a failure is not made smaller."""
    if engine == "sqlite":
        return settings(max_examples=60, deadline=None)
    return settings(max_examples=8, deadline=None, phases=[Phase.reuse, Phase.generate])


def test_the_bus_agrees_with_a_model(
    open_engine: Any,
    manual_clock: Any,
    envelope: Callable[..., Envelope],
    effort: settings,
    *,
    counts_scheduled: bool,
) -> None:
    @effort
    @given(steps=st.lists(step, max_size=40))
    def agrees(steps: list[tuple[str, int, int]]) -> None:
        asyncio.run(scenario(steps))

    async def scenario(steps: list[tuple[str, int, int]]) -> None:
        clock = manual_clock()
        with TemporaryDirectory() as directory:
            async with open_engine(Path(directory), clock) as backend:
                machine = Machine(backend, clock, envelope, counts_scheduled=counts_scheduled)
                for name, first, second in steps:
                    await getattr(machine, name)(first, second)
                await machine.finish()

    agrees()
