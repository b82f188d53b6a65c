"""`serving`: a Service Bus namespace on a loopback port, with its controls as methods. For tests and local trials."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypedDict, Unpack

from zekt_sandbox.servicebus import config as emulator_config
from zekt_sandbox.servicebus.amqp.connection import Connection
from zekt_sandbox.servicebus.broker import ServiceBusBroker
from zekt_sandbox.servicebus.clock import Clock
from zekt_sandbox.servicebus.entries import Counts
from zekt_sandbox.servicebus.faults import Faults
from zekt_sandbox.servicebus.listener import Listener
from zekt_sandbox.servicebus.namespace import Namespace
from zekt_sandbox.servicebus.tokens import Authorizer

KEY_NAME = "RootManageSharedAccessKey"
DEFAULT_KEY = base64.b64encode(b"zekt-sandbox: tests, local trials").decode()
"""The shared key of a stand-in that was given none; everyone knows it."""

AUDIENCE = "https://servicebus.azure.net/"
"""The audience of the tokens that Entra ID issues for Service Bus."""


class ServiceBusSandbox:
    """A running namespace; `faults` are its switches and `clock` decides what is due and what has expired."""

    def __init__(self, broker: ServiceBusBroker, clock: Clock, listener: Listener, host: str, key: str) -> None:
        self.faults = broker.faults
        self.clock = clock
        self.namespace = broker.namespace
        self.host = host
        self.key = key
        self._broker = broker
        self._listener = listener
        self._reopening: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Where AMQP is spoken."""
        return self._listener.port

    @property
    def connection_string(self) -> str:
        """What the SDK takes, over plain TCP as with the official emulator."""
        endpoint = f"Endpoint=sb://{self.host}:{self.port}"
        key = f"SharedAccessKeyName={KEY_NAME};SharedAccessKey={self.key}"
        return f"{endpoint};{key};UseDevelopmentEmulator=true;"

    @property
    def token_claims(self) -> list[dict[str, Any]]:
        """What the last 1,000 Entra ID tokens that were presented claimed, accepted or not, oldest first."""
        return list(self._broker.authorizer.claims)

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._broker.connections)

    def counts(self, topic: str, subscription: str) -> Counts:
        """How many messages a subscription holds.

        Raises:
            AmqpError: there is no such topic or subscription.
        """
        found = self.namespace.subscription(topic, subscription)
        return found.counts(self.namespace.topic(topic).scheduled_for(found))

    def drop_connections(self) -> None:
        """Cut every connection now, with nothing said."""
        self._broker.drop_connections()

    def detach_links(self) -> None:
        """End every link, as Service Bus does with idle ones; connections stay."""
        self._broker.detach_links()

    def begin_outage(self, seconds: float | None = None) -> None:
        """Cut every connection and refuse new ones, for so long by the machine's clock or until `end_outage`."""
        self._cancel_reopening()
        self._listener.close()
        self._broker.drop_connections()
        if seconds is not None:
            self._reopening = asyncio.create_task(self._reopen_after(seconds))

    async def end_outage(self) -> None:
        """Listen again."""
        self._cancel_reopening()
        await self._listener.open()

    def purge(self) -> None:
        """Forget every message and message id: the bus emptied."""
        self.namespace.purge()

    def stop(self) -> None:
        """Give the port up and cut what is connected."""
        self._cancel_reopening()
        self._listener.release()
        self._broker.drop_connections()
        self.clock.stop()

    async def _reopen_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._listener.open()

    def _cancel_reopening(self) -> None:
        if self._reopening is not None:
            self._reopening.cancel()
            self._reopening = None


class ServiceBusOptions(TypedDict, total=False):
    """How a stand-in starts: on a free port and with a well-known key.

    Entra ID tokens are refused unless `token_audience` says whom they must be meant for; `tls` serves amqps, without
    which the SDK sends no tokens.
    """

    host: str
    port: int
    key: str
    token_audience: str | None
    tls: ssl.SSLContext | None


@asynccontextmanager
async def serving(config: Mapping[str, Any], **options: Unpack[ServiceBusOptions]) -> AsyncIterator[ServiceBusSandbox]:
    """Listen until the context ends, with the topics of the official emulator's Config.json.

    Raises:
        ConfigError: the configuration is not understood, or asks for what is not stood in for.
        NotLoopbackError: the host is not a loopback address.
    """
    clock, key, host = Clock(), options.get("key", DEFAULT_KEY), options.get("host", "127.0.0.1")
    namespace = Namespace(clock)
    emulator_config.load(namespace, config)
    broker = ServiceBusBroker(namespace, Authorizer(KEY_NAME, key, options.get("token_audience")), Faults())
    listener = Listener(host, options.get("port", 0), lambda: Connection(broker), options.get("tls"))
    sandbox = ServiceBusSandbox(broker, clock, listener, host, key)
    try:
        await listener.open()
        yield sandbox
    finally:
        sandbox.stop()
