"""`python -m zekt_sandbox.entra`: the Entra ID stand-in as a process of its own, for tests and local trials only."""

import argparse
import asyncio
import json
import signal
import sys

from zekt_sandbox.entra.errors import NotLoopbackError
from zekt_sandbox.entra.serving import serving

_NOTICE = "zekt-sandbox entra: for tests and local trials; its keys and applications are gone when this process ends"


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="zekt_sandbox.entra", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address; others are refused")
    parser.add_argument("--port", type=int, default=8085, help="0 takes a free one")
    parser.add_argument("--role", action="append", default=[], help="granted to the one application; repeatable")
    parser.add_argument("--token-version", choices=("1.0", "2.0"), default="2.0", help="of access tokens")
    return parser.parse_args(argv)


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(host=arguments.host, port=arguments.port, token_version=arguments.token_version) as sandbox:
        application = sandbox.register(*arguments.role)
        state = {
            "authority": sandbox.url,
            "caFile": str(sandbox.ca_file),
            "tenantId": sandbox.tenant_id,
            "audience": f"api://{sandbox.api_id}",
            "clientId": application.client_id,
            "clientSecret": application.secret,
        }
        sys.stderr.write(f"{_NOTICE}\n")
        sys.stdout.write(json.dumps(state) + "\n")
        sys.stdout.flush()
        await stop.wait()


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; 2 when it may not or cannot listen."""
    try:
        asyncio.run(_serve(_arguments(argv)))
    except (NotLoopbackError, OSError) as error:
        sys.stderr.write(f"zekt-sandbox entra: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
