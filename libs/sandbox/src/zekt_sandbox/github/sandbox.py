"""`GitHubSandbox`: the stand-in, running on a loopback port, with its controls as methods."""

import ipaddress
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypedDict, Unpack

from aiohttp import web

from zekt_sandbox.github.app import build_app
from zekt_sandbox.github.controls import Controls
from zekt_sandbox.github.core import Core, build_core
from zekt_sandbox.github.errors import SandboxError
from zekt_sandbox.github.limits import Limits
from zekt_sandbox.github.state import AppRegistration, Ids, generate_private_key


class NotLoopbackError(SandboxError):
    """The stand-in was asked to listen where others could reach it."""


class SandboxOptions(TypedDict, total=False):
    """How a stand-in starts; what is left out is made up. `limits` defaults to GitHub's numbers."""

    host: str
    port: int
    webhook_url: str | None
    webhook_secret: str
    app_id: int
    private_key_pem: str
    seed: int
    client_id: str
    client_secret: str
    callback_urls: Sequence[str]
    limits: Limits


class GitHubSandbox(Controls):
    """A GitHub of one App on 127.0.0.1; everything is in memory."""

    def __init__(self, core: Core, url: str) -> None:
        super().__init__(core)
        self.url = url
        core.oidc.url = f"{url}/oidc"

    @classmethod
    @asynccontextmanager
    async def start(cls, **options: Unpack[SandboxOptions]) -> AsyncIterator["GitHubSandbox"]:
        """Listen until the context ends; port 0 takes a free one.

        Raises:
            NotLoopbackError: the host is not a loopback address.
        """
        host = options.get("host", "127.0.0.1")
        if not _is_loopback(host):
            raise NotLoopbackError(f"the GitHub stand-in listens on loopback only, not on {host!r}")
        core = _core(options)
        runner = web.AppRunner(build_app(core), access_log=None)
        await runner.setup()
        await core.sender.open()
        try:
            await web.TCPSite(runner, host, options.get("port", 0), backlog=1024).start()
            yield cls(core, f"http://{host}:{runner.addresses[0][1]}")
        finally:
            await core.sender.close()
            await runner.cleanup()

    @property
    def issuer(self) -> str:
        """The OIDC issuer's URL."""
        return self._core.oidc.url

    @property
    def app_id(self) -> int:
        """The App's id."""
        return self._core.state.app.id

    @property
    def private_key_pem(self) -> str:
        """The App's private key."""
        return self._core.state.app.private_key_pem

    @property
    def webhook_secret(self) -> str:
        """What the App's webhooks are signed with."""
        return self._core.state.app.webhook_secret

    @property
    def webhook_url(self) -> str | None:
        """Where the App's webhooks go; None sends none."""
        return self._core.state.app.webhook_url

    @webhook_url.setter
    def webhook_url(self, url: str | None) -> None:
        self._core.state.app.webhook_url = url

    @property
    def client_id(self) -> str:
        """The App's client id, which sign-in goes by."""
        return self._core.state.app.client_id

    @property
    def client_secret(self) -> str:
        """The App's client secret."""
        return self._core.state.app.client_secret

    @property
    def callback_urls(self) -> Sequence[str]:
        """The App's registered callback URLs; a redirect URI must be one of them, to the letter."""
        return self._core.state.app.callback_urls

    @callback_urls.setter
    def callback_urls(self, urls: Sequence[str]) -> None:
        self._core.state.app.callback_urls = tuple(urls)


def _core(options: SandboxOptions) -> Core:
    ids = Ids(options.get("seed", 0))
    app = AppRegistration(
        id=options.get("app_id") or ids.next("app"),
        private_key_pem=options.get("private_key_pem") or generate_private_key(),
        webhook_secret=options.get("webhook_secret") or secrets.token_hex(20),
        webhook_url=options.get("webhook_url"),
        callback_urls=tuple(options.get("callback_urls", ())),
    )
    app.client_id = options.get("client_id", app.client_id)
    app.client_secret = options.get("client_secret", app.client_secret)
    return build_core(app, ids, options.get("limits") or Limits())


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
