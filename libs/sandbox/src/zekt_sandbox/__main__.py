"""`python -m zekt_sandbox`: the GitHub stand-in as a process of its own."""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from zekt_sandbox.github.errors import SandboxError
from zekt_sandbox.github.limits import Limits
from zekt_sandbox.github.sandbox import GitHubSandbox, SandboxOptions


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="zekt_sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address; others are refused")
    parser.add_argument("--port", type=int, default=8081, help="0 takes a free one")
    parser.add_argument("--webhook-url", help="where the App's webhooks go")
    parser.add_argument("--webhook-secret", help="made up when left out")
    parser.add_argument("--app-id", type=int)
    parser.add_argument("--callback-url", action="append", default=[], help="where sign-in may return to; repeatable")
    parser.add_argument("--private-key-file", type=Path, help="the App's key; made when the file is missing")
    parser.add_argument("--state-file", type=Path, help="written as JSON when the port is open")
    parser.add_argument("--seed", type=int, default=0, help="shifts run and delivery ids")
    parser.add_argument("--no-limits", action="store_true", help="refuse nothing for rate")
    return parser.parse_args(argv)


def _options(arguments: argparse.Namespace) -> SandboxOptions:
    options = SandboxOptions(host=arguments.host, port=arguments.port, seed=arguments.seed)
    options["limits"] = Limits(enabled=not arguments.no_limits)
    options["webhook_url"] = arguments.webhook_url
    options["callback_urls"] = arguments.callback_url
    if arguments.webhook_secret:
        options["webhook_secret"] = arguments.webhook_secret
    if arguments.app_id:
        options["app_id"] = arguments.app_id
    if arguments.private_key_file is not None and arguments.private_key_file.exists():
        options["private_key_pem"] = arguments.private_key_file.read_text()
    return options


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _write_state(sandbox: GitHubSandbox, arguments: argparse.Namespace) -> None:
    state_file: Path | None = arguments.state_file
    key_file: Path | None = arguments.private_key_file
    if key_file is None and state_file is not None:
        key_file = state_file.with_suffix(".pem")
    if key_file is not None and not (key_file.exists() and arguments.private_key_file):
        _write_private(key_file, sandbox.private_key_pem)
    if state_file is None:
        return
    state = {
        "github": sandbox.url,
        "issuer": sandbox.issuer,
        "webhookSecret": sandbox.webhook_secret,
        "appId": sandbox.app_id,
        "clientId": sandbox.client_id,
        "clientSecret": sandbox.client_secret,
        "privateKeyFile": str(key_file),
    }
    # Renamed into place, so that who waits for the file never reads half of it.
    draft = state_file.with_suffix(".draft")
    _write_private(draft, json.dumps(state))
    draft.replace(state_file)


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with GitHubSandbox.start(**_options(arguments)) as sandbox:
        _write_state(sandbox, arguments)
        sys.stdout.write(f"zekt-sandbox ready: {sandbox.url}\n")
        sys.stdout.flush()
        await stop.wait()


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; 2 when it may not or cannot listen."""
    try:
        asyncio.run(_serve(_arguments(argv)))
    except (SandboxError, OSError) as error:
        sys.stderr.write(f"zekt-sandbox: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
