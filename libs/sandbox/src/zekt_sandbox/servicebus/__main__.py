"""`python -m zekt_sandbox.servicebus`: the Service Bus stand-in as a process of its own, for tests and local trials."""

import argparse
import asyncio
import json
import signal
import ssl
import sys
from pathlib import Path

from zekt_sandbox.servicebus.errors import ConfigError, NotLoopbackError
from zekt_sandbox.servicebus.sandbox import ServiceBusSandbox
from zekt_sandbox.servicebus.serving import ServiceBusOptions, serving
from zekt_sandbox.servicebus.tokens import DEFAULT_KEY

_NOTICE = "zekt-sandbox servicebus: for tests and local trials; everything is in memory and gone when this process ends"


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="zekt_sandbox.servicebus", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the official emulator's Config.json")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address; others are refused")
    parser.add_argument("--port", type=int, default=5672, help="where AMQP is spoken; 0 takes a free one")
    parser.add_argument("--control-port", type=int, default=0, help="where the controls are; 0 takes a free one")
    parser.add_argument("--key", default=DEFAULT_KEY, help="the shared key; a well-known one when left out")
    parser.add_argument("--token-audience", help="accept Entra ID tokens for this audience; none when left out")
    parser.add_argument("--tls-cert", type=Path, help="speak TLS with this certificate (PEM)")
    parser.add_argument("--tls-key", type=Path, help="the certificate's key (PEM)")
    parser.add_argument("--administration-port", type=int, help="where the administration is, over TLS; none left out")
    parser.add_argument("--max-connections", type=int, default=0, help="refuse more, as the official emulator does ten")
    return parser.parse_args(argv)


def _options(arguments: argparse.Namespace) -> ServiceBusOptions:
    return ServiceBusOptions(
        host=arguments.host,
        port=arguments.port,
        control_port=arguments.control_port,
        administration_port=arguments.administration_port,
        key=arguments.key,
        token_audience=arguments.token_audience,
        tls=_tls(arguments),
        max_connections=arguments.max_connections,
    )


def _tls(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    if arguments.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(arguments.tls_cert, arguments.tls_key)
    return context


def _announce(sandbox: ServiceBusSandbox) -> None:
    ready = {
        "amqp_port": sandbox.port,
        "control_port": sandbox.control_port,
        "administration_port": sandbox.administration_port,
        "connection_string": sandbox.connection_string,
    }
    sys.stderr.write(f"{_NOTICE}\n")
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config = json.loads(arguments.config.read_text())
    async with serving(config, **_options(arguments)) as sandbox:
        _announce(sandbox)
        await stop.wait()


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; 2 when it may not or cannot listen."""
    arguments = _arguments(argv)
    try:
        asyncio.run(_serve(arguments))
    except (ConfigError, NotLoopbackError, OSError, ValueError) as error:
        sys.stderr.write(f"zekt-sandbox servicebus: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
