"""`serving`: a Service Bus namespace on loopback ports. For tests and local trials."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypedDict, Unpack

from zekt_sandbox.servicebus import config as emulator_config
from zekt_sandbox.servicebus.administration import administration_handler
from zekt_sandbox.servicebus.amqp.connection import Connection
from zekt_sandbox.servicebus.broker import ServiceBusBroker
from zekt_sandbox.servicebus.clock import Clock
from zekt_sandbox.servicebus.control import control_handler
from zekt_sandbox.servicebus.faults import Faults
from zekt_sandbox.servicebus.http import serving_http
from zekt_sandbox.servicebus.listener import Listener
from zekt_sandbox.servicebus.namespace import Namespace
from zekt_sandbox.servicebus.sandbox import ServiceBusSandbox
from zekt_sandbox.servicebus.tokens import DEFAULT_KEY, Authorizer


class ServiceBusOptions(TypedDict, total=False):
    """How a stand-in starts: on a free port, with a well-known key, and without controls over HTTP.

    Port 0 is a free one. Entra ID tokens are refused unless `token_audience` says whom they must be meant for; `tls`
    serves amqps, without which the SDK sends no tokens. The administration, too, is served over `tls` only.
    A `namespace` takes the place of the configured one; with what it holds it outlives the stand-in.
    Connections over `max_connections` are refused, unless it is 0.
    """

    host: str
    port: int
    control_port: int | None
    administration_port: int | None
    key: str
    token_audience: str | None
    tls: ssl.SSLContext | None
    namespace: Namespace
    max_connections: int


@asynccontextmanager
async def serving(config: Mapping[str, Any], **options: Unpack[ServiceBusOptions]) -> AsyncIterator[ServiceBusSandbox]:
    """Listen until the context ends, with the topics of the official emulator's Config.json.

    Raises:
        ConfigError: the configuration is not understood, or asks for what is not stood in for.
        NotLoopbackError: the host is not a loopback address.
        ValueError: an administration port without TLS.
    """
    key, host = options.get("key", DEFAULT_KEY), options.get("host", "127.0.0.1")
    namespace = options.get("namespace") or emulator_config.namespace_of(config, Clock())
    broker = ServiceBusBroker(namespace, Authorizer(key, options.get("token_audience")), _faults(options))
    listener = Listener(host, options.get("port", 0), lambda: Connection(broker), options.get("tls"))
    sandbox = ServiceBusSandbox(broker, namespace.clock, listener, host, key)
    async with AsyncExitStack() as stack:
        stack.callback(sandbox.stop)
        await listener.open()
        await _serve_http(stack, sandbox, broker, options)
        yield sandbox


def _faults(options: ServiceBusOptions) -> Faults:
    faults = Faults()
    faults.limit_connections(options.get("max_connections", 0))
    return faults


async def _serve_http(
    stack: AsyncExitStack, sandbox: ServiceBusSandbox, broker: ServiceBusBroker, options: ServiceBusOptions
) -> None:
    control_port, administration_port = options.get("control_port"), options.get("administration_port")
    if control_port is not None:
        controls = serving_http(control_handler(sandbox), sandbox.host, control_port)
        sandbox.control_port = await stack.enter_async_context(controls)
    if administration_port is not None:
        tls = options.get("tls")
        if tls is None:
            raise ValueError("the administration is served over TLS only, as its clients ask for it")
        administration = administration_handler(broker.namespace, broker.authorizer)
        served = serving_http(administration, sandbox.host, administration_port, tls)
        sandbox.administration_port = await stack.enter_async_context(served)
