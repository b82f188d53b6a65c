"""Identity's composition: the one place that names what its ports are made of."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp

from zekt_common.auth.service_tokens import EmbeddedIssuer
from zekt_common.kit.service import Check, Service
from zekt_identity.credentials import ASK_AGAIN_S, CredentialsWatch
from zekt_identity.github_app import GitHubApp
from zekt_identity.http import TokenDoor
from zekt_identity.settings import IdentitySettings
from zekt_identity.tokens import TokenCache


class _Identity:
    """What exists while the service runs."""

    tokens: TokenCache
    watch: CredentialsWatch
    asking: asyncio.Task[None]

    def __init__(self, settings: IdentitySettings, *, ask_again_s: float) -> None:
        self._settings = settings
        self._ask_again_s = ask_again_s

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as http:
            app = GitHubApp(
                http,
                api_url=self._settings.github_api_url,
                app_id=self._settings.app_id,
                private_key_pem=self._settings.private_key_pem,
            )
            self.tokens = TokenCache(app.issue)
            self.watch = CredentialsWatch(app.check_credentials, again_s=self._ask_again_s)
            self.asking = asyncio.create_task(self.watch.run())
            try:
                yield
            finally:
                await self.drain()

    async def drain(self) -> None:
        """Stop asking about the App; look-ups under way end with their requests."""
        self.asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.asking

    async def checks(self) -> Sequence[Check]:
        return [self.watch.check()]


def build_service(settings: IdentitySettings, *, ask_again_s: float = ASK_AGAIN_S) -> Service:
    """Return identity, ready to be hosted."""
    identity = _Identity(settings, ask_again_s=ask_again_s)
    door = TokenDoor(EmbeddedIssuer(settings.host.data_dir), lambda: identity.tokens)
    return Service(
        name="identity",
        routes=door.routes(),
        lifespan=identity.lifespan,
        drain=identity.drain,
        checks=identity.checks,
    )
