"""`python -m zekt_sandbox.cosmos`: the Cosmos DB stand-in as a process of its own, for tests and local trials only."""

import argparse
import asyncio
import json
import signal
import ssl
import sys
from pathlib import Path

from zekt_sandbox.cosmos.errors import NotLoopbackError
from zekt_sandbox.cosmos.serving import DEFAULT_KEY, serving

_NOTICE = "zekt-sandbox cosmos: for tests and local trials; everything is in memory and gone when this process ends"


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="zekt_sandbox.cosmos", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address; others are refused")
    parser.add_argument("--port", type=int, default=8083, help="0 takes a free one")
    parser.add_argument("--key", default=DEFAULT_KEY, help="the account key, base64; a well-known one when left out")
    parser.add_argument("--key-ranges", type=int, default=1, help="physical partitions of each new container")
    parser.add_argument("--write-region", action="append", help="may be repeated; one when left out")
    parser.add_argument("--token-audience", help="accept Entra ID tokens for this audience; none when left out")
    parser.add_argument("--tls-cert", type=Path, help="serve https with this certificate (PEM)")
    parser.add_argument("--tls-key", type=Path, help="the certificate's key (PEM)")
    return parser.parse_args(argv)


def _tls(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    if arguments.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(arguments.tls_cert, arguments.tls_key)
    return context


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(
        host=arguments.host,
        port=arguments.port,
        key=arguments.key,
        key_ranges=arguments.key_ranges,
        write_regions=tuple(arguments.write_region or ("Local",)),
        token_audience=arguments.token_audience,
        tls=_tls(arguments),
    ) as sandbox:
        sys.stderr.write(f"{_NOTICE}\n")
        sys.stdout.write(json.dumps({"url": sandbox.url, "key": sandbox.key}) + "\n")
        sys.stdout.flush()
        await stop.wait()


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; 2 when it may not or cannot listen."""
    try:
        asyncio.run(_serve(_arguments(argv)))
    except (NotLoopbackError, OSError, ValueError) as error:
        sys.stderr.write(f"zekt-sandbox cosmos: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
