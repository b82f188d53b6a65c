import asyncio
import gc
import itertools
import ssl
import time
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage, ServiceBusSubQueue, TransportType
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from zekt_sandbox.servicebus import ServiceBusSandbox, serving
from zekt_sandbox.servicebus.queue import QueueProperties
from zekt_sandbox.servicebus.topic import TopicProperties

Handler = TypeVar("Handler", ServiceBusSender, ServiceBusReceiver)

AHEAD = 14
DEADLINE_S = 60.0
NOTHING_S = 0.3
FAST: dict[str, Any] = {
    "transport_type": TransportType.Amqp,
    "retry_total": 1,
    "retry_backoff_factor": 0.05,
    "socket_timeout": 0.02,
}
EMPTY: dict[str, Any] = {"UserConfig": {"Namespaces": [{"Name": "sbemulatorns", "Topics": []}]}}


def forget_lost_sockets() -> None:
    """Collect the streams that the SDK leaves unclosed when their connection is lost."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class Handlers:
    """Opens the SDK's senders and receivers, half a second each, and closes them, a second each, all at the end."""

    def __init__(self, sandbox: ServiceBusSandbox, client: ServiceBusClient, ahead: int) -> None:
        self.ahead = ahead
        self.sandbox = sandbox
        self.client = client
        self._closing: list[asyncio.Task[None]] = []
        self._ready: list[Bus] = []
        self._numbers = itertools.count(1)

    async def bus(self) -> "Bus":
        """A topic that nobody has used; several are made at once, since opening is mostly waiting."""
        if not self._ready:
            self._ready += await asyncio.gather(*(self._create(f"t{next(self._numbers)}") for _ in range(self.ahead)))
        return self._ready.pop()

    async def _create(self, name: str) -> "Bus":
        self.sandbox.namespace.add_topic(name).subscribe("s")
        bus = Bus(self, name)
        await asyncio.gather(bus.sender.__aenter__(), bus.receiver.__aenter__())
        return bus

    @asynccontextmanager
    async def open(self, handler: Handler) -> AsyncIterator[Handler]:
        await handler.__aenter__()
        try:
            yield handler
        finally:
            self.close_later(handler)

    def close_later(self, *handlers: ServiceBusSender | ServiceBusReceiver) -> None:
        self._closing += [asyncio.create_task(handler.close()) for handler in handlers]

    async def close(self) -> None:
        for bus in self._ready:
            self.close_later(bus.sender, bus.receiver)
        await asyncio.gather(*self._closing)


class Bus:
    """A topic and its subscription `s`, with a sender and a receiver."""

    def __init__(self, handlers: Handlers, name: str) -> None:
        self.sandbox = handlers.sandbox
        self.handlers = handlers
        self.client = handlers.client
        self.name = name
        self.topic = self.sandbox.namespace.topic(name)
        self.sender = self.client.get_topic_sender(name)
        self.receiver = self.client.get_subscription_receiver(name, "s")

    def later(self, seconds: float) -> datetime:
        """A time to come by the stand-in's clock."""
        return datetime.fromtimestamp(self.sandbox.clock.now() + seconds, UTC)

    def configure(self, topic: TopicProperties | None = None, subscription: QueueProperties | None = None) -> None:
        """Change them before anything is sent."""
        self.topic.properties = topic or self.topic.properties
        self.topic.subscriptions["s"].configure(subscription or QueueProperties())

    def receiving(self, subscription: str = "s", **options: Any) -> AbstractAsyncContextManager[ServiceBusReceiver]:
        """One receiver more."""
        return self.handlers.open(self.client.get_subscription_receiver(self.name, subscription, **options))

    def dead_letters(self) -> AbstractAsyncContextManager[ServiceBusReceiver]:
        return self.receiving(sub_queue=ServiceBusSubQueue.DEAD_LETTER)

    async def send(self, *messages: ServiceBusMessage) -> None:
        await self.sender.send_messages(list(messages))

    @property
    def counts(self) -> dict[str, int]:
        """What the subscription holds, without the zeros."""
        counts: dict[str, int] = self.sandbox.view()["topics"][self.name]["subscriptions"]["s"]
        return {state: count for state, count in counts.items() if count}


async def take(receiver: ServiceBusReceiver, count: int = 1) -> list[ServiceBusReceivedMessage]:
    """Receive exactly so many messages."""
    taken: list[ServiceBusReceivedMessage] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(taken) < count:
        assert time.monotonic() < deadline, f"only {len(taken)} of {count} messages came"
        taken += await receiver.receive_messages(count - len(taken), max_wait_time=DEADLINE_S)
    return taken


async def nothing(receiver: ServiceBusReceiver) -> bool:
    """Whether no message comes for a while."""
    return not await receiver.receive_messages(1, max_wait_time=NOTHING_S)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def connected(sandbox: ServiceBusSandbox) -> AsyncIterator[ServiceBusClient]:
    """A client over plain TCP."""
    async with ServiceBusClient.from_connection_string(sandbox.connection_string, **FAST) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def handlers() -> AsyncIterator[Handlers]:
    """One stand-in, and one client of it, for all tests that break nothing."""
    async with serving(EMPTY) as running, connected(running) as client:
        handlers = Handlers(running, client, AHEAD)
        yield handlers
        await handlers.close()


@pytest_asyncio.fixture(loop_scope="session")
async def bus(handlers: Handlers) -> AsyncIterator[Bus]:
    """A topic of the test's own."""
    bus = await handlers.bus()
    yield bus
    handlers.close_later(bus.sender, bus.receiver)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def fragile_handlers() -> AsyncIterator[Handlers]:
    """Another stand-in, for tests that break it."""
    async with serving(EMPTY) as running, connected(running) as client:
        handlers = Handlers(running, client, 1)
        yield handlers
        await handlers.close()
    forget_lost_sockets()


@pytest_asyncio.fixture(loop_scope="session")
async def fragile(fragile_handlers: Handlers) -> AsyncIterator[Bus]:
    """A topic of the test's own in a stand-in that is mended afterwards."""
    bus = await fragile_handlers.bus()
    yield bus
    fragile_handlers.sandbox.faults.clear()
    await fragile_handlers.sandbox.end_outage()
    fragile_handlers.close_later(bus.sender, bus.receiver)
    forget_lost_sockets()


@pytest_asyncio.fixture(loop_scope="session")
async def sandbox() -> AsyncIterator[ServiceBusSandbox]:
    """A stand-in of the test's own, to break."""
    async with serving(EMPTY) as running:
        yield running


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "zekt-sandbox")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, no_encryption = serialization.Encoding.PEM, serialization.NoEncryption()
    certificate_file, key_file = folder / "cert.pem", folder / "key.pem"
    certificate_file.write_bytes(signed.public_bytes(pem))
    key_file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_encryption))
    return certificate_file, key_file


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context
