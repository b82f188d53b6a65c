"""A process of its own for the suites: writes until it is killed, telling of each acknowledged item, or waits.

Arguments: engine, directory, what to do, a prefix that makes its items its own.
"""

import asyncio
import os
import sys
import time
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from libs.common.tests.contracts.azure_as_set import SERVICE, open_as_set

from zekt_common.adapters.backend import Backend
from zekt_common.adapters.embedded import open_backend
from zekt_common.envelope import Envelope, Event, NewEvent, seal
from zekt_common.kit.relay import Relay
from zekt_common.ports import OutgoingMessage

WRITERS = 8


class Noted(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.noted"
    text: str


def noted(text: str) -> NewEvent:
    return NewEvent(body=Noted(text=text), source="/zekt/test", subject=text, correlationid="c", causationid="c")


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def append(backend: Backend, prefix: str, writer: int) -> None:
    for version in range(1_000_000):
        stream = f"{prefix}/{writer}"
        (event,) = await backend.store.append(stream, [noted(stream)], expected_version=version)
        tell(event.id)


async def publish(backend: Backend, prefix: str, writer: int) -> None:
    for n in range(1_000_000):
        stream = f"{prefix}/{writer}/{n}"
        envelope = seal(noted(stream), stream=stream, version=1, commitid="c", time=datetime.now(UTC))
        await backend.bus.publish("ingress", [OutgoingMessage(envelope=envelope)])
        tell(envelope.id)


async def consume(backend: Backend, prefix: str, writer: int) -> None:
    """Complete what is there, telling of each message when it is received and again when it is completed."""
    del prefix, writer
    receiver = backend.bus.subscribe("ingress", "router")
    while True:
        for message in await receiver.receive(10, timeout_s=1):
            tell(f"received {message.message_id}")
            await receiver.complete(message)
            tell(f"completed {message.message_id}")


async def watch(backend: Backend, prefix: str, writer: int) -> None:
    """Tell when each new event was seen, by the clock that all processes share."""
    del prefix, writer
    (feed,) = await backend.store.feeds()
    cursor = ""
    tell("watching")
    while True:
        if await backend.store.wait(feed, cursor, timeout_s=10):
            seen = time.monotonic()
            cursor = (await backend.store.read_feed(feed, cursor)).cursor
            tell(str(seen))


async def listen(backend: Backend, prefix: str, writer: int) -> None:
    """Tell when each message was received, by the clock that all processes share; settling holds up no receiving."""
    del prefix, writer
    receiver = backend.bus.subscribe("ingress", "router")
    tell("watching")
    async with asyncio.TaskGroup() as settling:
        while True:
            for message in await receiver.receive(10, timeout_s=10):
                tell(str(time.monotonic()))
                settling.create_task(receiver.complete(message))


async def lead(backend: Backend, prefix: str, writer: int) -> None:
    """Hold a lease."""
    del writer
    async with backend.leases.hold(prefix):
        tell("leading")
        await asyncio.Event().wait()


async def relay(backend: Backend, prefix: str, writer: int) -> None:
    """Relay, telling of each publication as it is about to be made."""
    del prefix, writer

    def translate(event: Envelope) -> list[OutgoingMessage]:
        tell(event.id)
        return [OutgoingMessage(envelope=event)]

    relaying = Relay(backend.store, backend.bus, backend.views, backend.leases, topic="ingress", translate=translate)
    await relaying.run()


TOGETHER = {work.__name__: work for work in (append, publish, consume)}
ALONE = {work.__name__: work for work in (watch, listen, lead, relay)}


def opened(engine: str, directory: Path) -> AbstractAsyncContextManager[Backend]:
    if engine == "azure-processes":
        return open_as_set(os.environ)
    return open_backend(directory, SERVICE, writer_process=engine == "sqlite-writers")


async def main(engine: str, directory: str, work: str, prefix: str) -> None:
    workers = [TOGETHER[work]] * WRITERS if work in TOGETHER else [ALONE[work]]
    async with opened(engine, Path(directory)) as backend:
        await asyncio.gather(*(worker(backend, prefix, n) for n, worker in enumerate(workers)))


asyncio.run(main(*sys.argv[1:5]))
