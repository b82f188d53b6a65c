"""The bus on Service Bus beside the bare SDK: publish in pages, and receive and complete.

Both sides run in this process over the stand-in, a process of its own, in alternating rounds of one run; the medians
are compared, and the CPU that this process spends per message beside them. Messages carry an envelope of about 900
bytes and go to one subscription for each side, so that neither link sees the other's. Published are pages of 1,000,
as a relay reads them: the SDK's own batches of encoded bodies with the same properties, against `Bus.publish` from
envelopes, which it also encodes. Received are up to 100 at a time, their bodies read, and all completed together.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender
from azure.servicebus.exceptions import MessageSizeExceededError

from bench import relaying
from zekt_common.adapters.servicebus_bus import open_servicebus_bus
from zekt_common.adapters.servicebus_connection import ServiceBusConnection
from zekt_common.adapters.servicebus_topology import emulator_config
from zekt_common.envelope import Envelope, Event, NewEvent, encode, seal
from zekt_common.kit.relay import PAGE
from zekt_common.ports import Bus, OutgoingMessage, Receiver

MESSAGES = 3000
TAKEN = 100
ROUNDS = 5

Measured = dict[str, list[tuple[float, float]]]


class Requested(Event, frozen=True, kw_only=True):
    """An event of the size of a delivery's request."""

    TYPE: ClassVar[str] = "dev.zekt.bench.requested"

    text: str


def envelopes(name: str) -> list[Envelope]:
    """Return envelopes with ids of their own."""
    now = datetime.now(UTC)
    return [_envelope(f"{name}/{number}", now) for number in range(MESSAGES)]


def _envelope(stream: str, now: datetime) -> Envelope:
    body = Requested(text="x" * 500)
    event = NewEvent(body=body, source="zekt/bench", subject=stream, correlationid=stream, causationid="bench")
    return seal(event, stream=stream, version=1, commitid="c", time=now)


async def publish_bare(sender: ServiceBusSender, encoded: list[tuple[str, bytes]]) -> None:
    """Publish by the SDK alone, in batches as large as they may be."""
    for start in range(0, len(encoded), PAGE):
        batch = await sender.create_message_batch()
        for id_, body in encoded[start : start + PAGE]:
            properties: dict[str | bytes, Any] = {"for": "ingress", "attempt": "1", "subject": id_}
            message = ServiceBusMessage(
                body, message_id=id_, content_type="application/json", application_properties=properties
            )
            try:
                batch.add_message(message)
            except MessageSizeExceededError:
                await sender.send_messages(batch)
                batch = await sender.create_message_batch()
                batch.add_message(message)
        await sender.send_messages(batch)


async def consume_bare(receiver: ServiceBusReceiver) -> None:
    """Receive and complete by the SDK alone, settling together."""
    left = MESSAGES
    while left:
        messages = await receiver.receive_messages(TAKEN, max_wait_time=1)
        assert all(b"".join(message.body) for message in messages)
        await asyncio.gather(*(receiver.complete_message(message) for message in messages))
        left -= len(messages)


async def publish(bus: Bus, sealed: list[Envelope]) -> None:
    """Publish at the port."""
    for start in range(0, len(sealed), PAGE):
        page = sealed[start : start + PAGE]
        await bus.publish("router", [OutgoingMessage(envelope=envelope, to="dispatcher") for envelope in page])


async def consume(receiver: Receiver) -> None:
    """Receive and complete at the port."""
    left = MESSAGES
    while left:
        messages = await receiver.receive(TAKEN, timeout_s=1)
        await asyncio.gather(*(receiver.complete(message) for message in messages))
        left -= len(messages)


async def compare(connection_string: str) -> Measured:
    """Run the rounds; messages per second and CPU seconds per message of each."""
    measured: Measured = {name: [] for name in ("bare publish", "bare consume", "publish", "consume")}
    connection = ServiceBusConnection(connection_string=connection_string)
    async with (
        ServiceBusClient.from_connection_string(connection_string) as client,
        client.get_topic_sender("router") as sender,
        client.get_subscription_receiver("router", "ingress") as bare_receiver,
        open_servicebus_bus(connection, publishes_to=["router"]) as bus,
    ):
        receiver = bus.subscribe("router", "dispatcher")
        assert await receiver.receive(1, timeout_s=0) == []
        for turn in range(ROUNDS):
            encoded = [(envelope.id, encode(envelope)) for envelope in envelopes(f"bare/{turn}")]
            sealed = envelopes(f"port/{turn}")
            await _measure(measured["bare publish"], partial(publish_bare, sender, encoded))
            await _measure(measured["publish"], partial(publish, bus, sealed))
            await _measure(measured["bare consume"], partial(consume_bare, bare_receiver))
            await _measure(measured["consume"], partial(consume, receiver))
    return measured


async def relay(connection_string: str) -> dict[str, float]:
    """Return what a relay reads from its store, and what it carries to the bus."""
    connection = ServiceBusConnection(connection_string=connection_string)
    async with open_servicebus_bus(connection, publishes_to=[relaying.SERVICE]) as bus:
        return await relaying.rates(bus)


async def _measure(into: list[tuple[float, float]], work: Callable[[], Awaitable[None]]) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    await work()
    into.append((MESSAGES / (time.perf_counter() - began), (time.process_time() - cpu) / MESSAGES))


@contextmanager
def stand_in() -> Iterator[str]:
    """Run the stand-in with our topology and yield its connection string."""
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "Config.json"
        config.write_text(json.dumps(emulator_config()))
        command = [sys.executable, "-m", "zekt_sandbox.servicebus", "--config", str(config), "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            try:
                yield json.loads(process.stdout.readline())["connection_string"]
            finally:
                process.terminate()


def run() -> dict[str, Any]:
    """Return the medians, their ratios, CPU microseconds per message, and the relay's rates beside them."""
    with stand_in() as connection_string:
        measured = asyncio.run(compare(connection_string))
        relayed = asyncio.run(relay(connection_string))
    rates = {name: statistics.median(rate for rate, _ in figures) for name, figures in measured.items()}
    cpu = {f"{name} CPU µs": statistics.median(cpu for _, cpu in figures) * 1e6 for name, figures in measured.items()}
    ratios = {f"{name} ratio": rates[name] / rates[f"bare {name}"] for name in ("publish", "consume")}
    return rates | cpu | ratios | relayed


if __name__ == "__main__":
    for figure, value in run().items():
        print(f"{figure:>22} {value:10,.2f}")
