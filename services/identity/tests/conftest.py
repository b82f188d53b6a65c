import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.ports import free_port
from zekt_common.adapters.backend import Backend
from zekt_common.adapters.embedded import open_backend
from zekt_common.auth.service_tokens import EmbeddedIssuer, EmbeddedTokens
from zekt_common.clock import utc_now
from zekt_common.contracts.identity import TOKENS_INSTALLATION
from zekt_common.envelope import Event
from zekt_common.kit.host import Hosted, serving
from zekt_common.kit.identity_client import IdentityClient
from zekt_common.kit.projector import Projector
from zekt_common.kit.settings import HostSettings
from zekt_common.kit.supervision import finish
from zekt_identity.app import build_service
from zekt_identity.audit import AccessRefused
from zekt_identity.ledger import Ledger
from zekt_identity.projections import project
from zekt_identity.settings import IdentitySettings, OAuthClient
from zekt_sandbox import GitHubSandbox


@dataclass
class MovableClock:
    """The wall clock's time, moved on by hand."""

    now: datetime = field(default_factory=utc_now)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **passed: float) -> None:
        self.now += timedelta(**passed)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: Any

    @property
    def told(self) -> tuple[int, str]:
        """The status and the error's code."""
        return self.status, self.body["error"]


@dataclass
class Browser:
    """A browser of one person: it keeps cookies that a host may set, and sends nothing it would not send."""

    http: aiohttp.ClientSession
    base: str
    cookies: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Call one of our pages, from one of our pages unless the headers say otherwise."""
        sent = {"Sec-Fetch-Site": "same-origin", "Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        async with self.http.request(
            method, self.base + path, data=data, headers=sent, allow_redirects=False
        ) as response:
            for name, morsel in response.cookies.items():
                assert (morsel["path"], morsel["secure"], morsel["httponly"]) == ("/", True, True)
                assert (morsel["samesite"], morsel["domain"]) == ("Lax", "")
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
            content = await response.read()
            return Answer(response.status, dict(response.headers), json.loads(content) if content else None)

    async def begin(self, return_to: str = "/") -> str:
        """Begin a sign-in and return where GitHub asks."""
        begun = await self.call("GET", f"/auth/login?return_to={return_to}")
        assert begun.status == 303, begun.body
        return begun.headers["Location"]

    async def say_yes(self, asking: str, login: str = "octocat") -> str:
        """Say yes at GitHub and return the path of the callback that it sends us to."""
        async with self.http.get(f"{asking}&login={login}", allow_redirects=False) as response:
            assert response.status == 302, await response.text()
            return response.headers["Location"].removeprefix(self.base)

    async def authorize(self, login: str = "octocat", return_to: str = "/") -> str:
        """Begin a sign-in, say yes, and return the path of the callback."""
        return await self.say_yes(await self.begin(return_to), login)

    async def sign_in(self, login: str = "octocat") -> None:
        answer = await self.call("GET", await self.authorize(login))
        assert (answer.status, answer.headers["Location"]) == (303, "/")


@asynccontextmanager
async def ledger_over(backend: Backend) -> AsyncIterator[Ledger]:
    """Give the ledger of a service that does nothing else, on its own backend."""
    projector = Projector(backend.store, backend.views, name="identity", project=project)
    projecting = asyncio.create_task(projector.run())
    try:
        yield Ledger(backend.store, projector)
    finally:
        await finish([projecting], within_s=0)


@dataclass
class Running:
    """Identity over the stand-in, with a client that may look up tokens."""

    hosted: Hosted
    sandbox: GitHubSandbox
    http: aiohttp.ClientSession
    issuer: EmbeddedIssuer
    client: IdentityClient
    data_dir: Path
    clock: MovableClock

    def browser(self) -> Browser:
        return Browser(self.http, self.hosted.url)

    async def events(self, kind: type[Event]) -> list[Any]:
        """Every stored event of this type, oldest first."""
        async with open_backend(self.data_dir, "identity") as backend:
            [feed] = await backend.store.feeds()
            stored = (await backend.store.read_feed(feed)).events
        return [msgspec.json.decode(event.data, type=kind) for event in stored if event.type == kind.TYPE]

    async def refusals(self) -> list[tuple[str, str, int]]:
        """Route, code and account of every refusal that was noted."""
        return [(noted.route, noted.error, noted.account_id) for noted in await self.events(AccessRefused)]

    async def post(self, body: Any, authorization: str | None = None) -> tuple[int, dict[str, str], Any]:
        token = self.issuer.mint(service="test", roles=[TOKENS_INSTALLATION])
        headers = {"Authorization": authorization or f"Bearer {token}"}
        url = f"{self.hosted.internal_url}/internal/tokens/installation"
        sent: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self.http.post(url, headers=headers, **sent) as response:
            return response.status, dict(response.headers), await response.json()


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float = 60.0) -> None:
    """Wait for what announces itself to nobody."""
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - another process's files, or answers over HTTP
            await asyncio.sleep(0.02)


@asynccontextmanager
async def identity_at(sandbox: GitHubSandbox, data_dir: Path, **changes: Any) -> AsyncIterator[Running]:
    port = free_port()
    public_url = f"http://127.0.0.1:{port}"
    sandbox.callback_urls = [f"{public_url}/auth/callback"]
    reconciling = {"reconcile_after_s": changes.pop("reconcile_after_s", 3600.0)}
    reconciling["reconcile_every_s"] = changes.pop("reconcile_every_s", 3600.0)
    clock = changes.pop("clock", None) or MovableClock()
    honest: dict[str, Any] = {
        "github_url": sandbox.url,
        "public_url": public_url,
        "oauth": OAuthClient(client_id=sandbox.client_id, client_secret=sandbox.client_secret),
        "github_api_url": sandbox.url,
        "app_id": sandbox.app_id,
        "private_key_pem": sandbox.private_key_pem.encode(),
    }
    trusted = changes.pop("trusted_proxies", ())
    host = HostSettings(port=port, internal_port=0, data_dir=data_dir, trusted_proxies=trusted)
    settings = IdentitySettings(host=host, **(honest | changes))
    issuer = EmbeddedIssuer(data_dir)
    service = build_service(settings, clock=clock, ask_again_s=0.01, **reconciling)
    async with (
        serving([service], settings.host) as hosted,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        own = EmbeddedTokens(issuer, service="test", roles=[TOKENS_INSTALLATION])
        client = IdentityClient(http, hosted.internal_url, own)
        yield Running(hosted, sandbox, http, issuer, client, data_dir, clock)


@pytest.fixture
async def sandbox() -> AsyncIterator[GitHubSandbox]:
    async with GitHubSandbox.start() as running:
        running.create_repository("acme/provider")
        running.create_repository("beta/consumer")
        running.create_repository("beta/other")
        running.create_installation("beta", id=72, repositories=["beta/consumer"])
        running.create_user("octocat", id=4_242)
        running.create_user("hubot", id=4_243)
        yield running


@pytest.fixture
async def identity(sandbox: GitHubSandbox, tmp_path: Path) -> AsyncIterator[Running]:
    async with identity_at(sandbox, tmp_path) as running:
        await running.hosted.until_ready()
        yield running
