"""A consumer of notes, an inbox to handle them, and ways to wait for what became of them."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, ClassVar

from libs.common.tests.patience import PATIENCE_S

from zekt_common.adapters.embedded import Backend
from zekt_common.adapters.sqlite_bus import SqliteBus
from zekt_common.adapters.sqlite_database import SqliteDatabase
from zekt_common.clock import Clock, utc_now
from zekt_common.contracts.topology import Subscription
from zekt_common.envelope import Envelope, Event, NewEvent, seal
from zekt_common.kit.consumer import Complete, Consumer, Handler, Settlement
from zekt_common.ports import OutgoingMessage

Start = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

LOCK_S = 0.2
"""So short that it is waited for; whoever must not lose a lock to a busy machine has a longer one."""
LONG_LOCK_S = 600.0
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Noted(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.noted"
    n: int


class Other(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.other"
    text: str


def message(n: int, body: Event | None = None, *, commitid: str = "c", message_id: str = "", attempt: int = 1) -> Any:
    event = NewEvent(
        body=body or Noted(n=n),
        source="test",
        subject=f"run/{n}",
        correlationid=f"run/{n}",
        causationid="test",
        traceparent=TRACEPARENT,
    )
    envelope = seal(event, stream=f"notes/{n}", version=1, commitid=commitid, time=datetime.now(UTC))
    return OutgoingMessage(envelope=envelope, message_id=message_id, attempt=attempt)


def consumer(
    backend: Backend, handler: Handler, *, concurrency: int = 32, max_attempts: int = 10, lock_s: float = 30.0
) -> Consumer:
    terms = Subscription(topic="ingress", name="router", lock_s=lock_s, max_attempts=max_attempts)
    return Consumer(backend.bus, "ingress", "router", {Noted: handler}, concurrency=concurrency, terms=terms)


def bus_on(file: SqliteDatabase, *, lock_s: float, clock: Clock = utc_now) -> SqliteBus:
    """Return a bus in the file whose one subscription locks messages for so long, by this clock."""
    terms = Subscription(topic="ingress", name="router", lock_s=lock_s)
    return SqliteBus(file, clock=clock, subscriptions=[terms])


class Inbox:
    """A handler that notes what it was given and answers in turn from `answers`, then `Complete`."""

    def __init__(self, *answers: Settlement | Exception) -> None:
        self.answers = list(answers)
        self.queue: asyncio.Queue[tuple[Noted, Envelope]] = asyncio.Queue()

    async def handle(self, event: Noted, envelope: Envelope) -> Settlement:
        self.queue.put_nowait((event, envelope))
        answer = self.answers.pop(0) if self.answers else Complete()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def next(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            event, _ = await self.queue.get()
        return event.n


async def publish(backend: Backend, *messages: OutgoingMessage) -> None:
    await backend.bus.publish("ingress", messages)


async def settled(consuming: Consumer, outcome: str, count: int = 1) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while consuming.outcomes[outcome] < count:  # noqa: ASYNC110 - a counter, not an event
            await asyncio.sleep(0.005)


async def reasons(backend: Backend) -> list[str]:
    return [letter.reason for letter in await backend.bus.dead_letters("ingress", "router")]
