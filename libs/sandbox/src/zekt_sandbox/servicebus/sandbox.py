"""A running Service Bus namespace, with its controls as methods."""

import asyncio
from dataclasses import asdict
from typing import Any

from zekt_sandbox.servicebus.broker import ServiceBusBroker
from zekt_sandbox.servicebus.clock import Clock
from zekt_sandbox.servicebus.entries import Counts
from zekt_sandbox.servicebus.listener import Listener
from zekt_sandbox.servicebus.tokens import KEY_NAME
from zekt_sandbox.servicebus.topic import Topic


class ServiceBusSandbox:
    """A running namespace; `faults` are its switches and `clock` decides what is due and what has expired.

    `control_port` and `administration_port` are None unless they were asked for.
    """

    def __init__(self, broker: ServiceBusBroker, clock: Clock, listener: Listener, host: str, key: str) -> None:
        self.control_port: int | None = None
        self.administration_port: int | None = None
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
    def endpoint(self) -> str:
        """What the SDK takes as `custom_endpoint_address`, over TLS."""
        return f"sb://{self.host}:{self.port}"

    @property
    def connection_string(self) -> str:
        """What the SDK takes over plain TCP, as with the official emulator."""
        return f"{self._with_key(self.port)}UseDevelopmentEmulator=true;"

    @property
    def administration_connection_string(self) -> str | None:
        """What the SDK's administration client takes, which always speaks https."""
        return None if self.administration_port is None else self._with_key(self.administration_port)

    @property
    def token_claims(self) -> list[dict[str, Any]]:
        """What the last 1,000 Entra ID tokens that were presented claimed, accepted or not, oldest first."""
        return list(self._broker.authorizer.claims)

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._broker.connections)

    @property
    def refused_connections(self) -> int:
        """How many were one too many so far."""
        return self._broker.refused_connections

    def counts(self, topic: str, subscription: str) -> Counts:
        """How many messages a subscription holds.

        Raises:
            AmqpError: there is no such topic or subscription.
        """
        found = self.namespace.subscription(topic, subscription)
        return found.counts(self.namespace.topic(topic).scheduled_for(found))

    def view(self) -> dict[str, Any]:
        """Connections, faults and counts, as the controls show them."""
        topics = {topic.name: self._view_of(topic) for topic in self.namespace.topics.values()}
        connections = {"connections": self.connection_count, "refused_connections": self.refused_connections}
        return {**connections, "faults": asdict(self.faults), "topics": topics}

    def _view_of(self, topic: Topic) -> dict[str, Any]:
        subscriptions = {each.name: asdict(self.counts(topic.name, each.name)) for each in topic.subscriptions.values()}
        return {"received": topic.received, "duplicates": topic.duplicates, "subscriptions": subscriptions}

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

    def _with_key(self, port: int) -> str:
        key = f"SharedAccessKeyName={KEY_NAME};SharedAccessKey={self.key}"
        return f"Endpoint=sb://{self.host}:{port};{key};"

    async def _reopen_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._listener.open()

    def _cancel_reopening(self) -> None:
        if self._reopening is not None:
            self._reopening.cancel()
            self._reopening = None
