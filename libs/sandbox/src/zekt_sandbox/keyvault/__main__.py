"""`python -m zekt_sandbox.keyvault`: the Key Vault stand-in as its own process, for tests and local trials only."""

import argparse
import asyncio
import json
import signal
import ssl
import sys
from pathlib import Path

from zekt_sandbox.keyvault.errors import NotLoopbackError
from zekt_sandbox.keyvault.serving import serving

_NOTICE = "zekt-sandbox keyvault: for tests and local trials; its keys are in memory and gone when this process ends"


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="zekt_sandbox.keyvault", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address; others are refused")
    parser.add_argument("--port", type=int, default=8084, help="0 takes a free one")
    parser.add_argument("--key", action="append", default=[], help="make this RSA key; may be repeated")
    parser.add_argument("--tls-cert", type=Path, required=True, help="serve https with this certificate (PEM)")
    parser.add_argument("--tls-key", type=Path, required=True, help="the certificate's key (PEM)")
    return parser.parse_args(argv)


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(arguments.tls_cert, arguments.tls_key)
    async with serving(tls, host=arguments.host, port=arguments.port) as sandbox:
        for name in arguments.key:
            sandbox.add_version(name)
        sys.stderr.write(f"{_NOTICE}\n")
        sys.stdout.write(json.dumps({"port": sandbox.port}) + "\n")
        sys.stdout.flush()
        await stop.wait()


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; 2 when it may not or cannot listen."""
    try:
        asyncio.run(_serve(_arguments(argv)))
    except (NotLoopbackError, OSError, ValueError) as error:
        sys.stderr.write(f"zekt-sandbox keyvault: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
