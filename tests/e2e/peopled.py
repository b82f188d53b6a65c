"""The suite in one process, with two people who each have repositories, and an operator who is a person too."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from tests.e2e.people import session_of
from tests.ports import free_port
from zekt_cli.hosting.suite import build
from zekt_common.auth.authorisation_log import CallerRefused
from zekt_common.auth.operator import ensure_operator_token
from zekt_common.envelope import Event
from zekt_common.kit.host import Hosted, serving
from zekt_common.kit.service import Route, Service
from zekt_common.kit.settings import EnvironmentReader, HostSettings
from zekt_identity.audit import AccessRefused
from zekt_sandbox import GitHubSandbox

ADA, BOB, SRE = 900_001, 900_002, 900_003
MASTER_KEY = b"m" * 32
PATTERN = re.compile(r":\\d\{1,18\}")
PEOPLE = {"ada": ADA, "bob": BOB, "sre": SRE}


@dataclass
class Peopled:
    """Four services in one process, with people and an operator who may call them."""

    services: list[Service]
    hosted: Hosted
    http: aiohttp.ClientSession
    data_dir: Path
    tokens: dict[str, str]

    @property
    def routes(self) -> list[Route]:
        return [route for service in self.services for route in service.routes]

    async def call(self, who: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        sent = {"Authorization": f"Bearer {self.tokens[who]}"} if who else {}
        sent |= {"Content-Type": "application/json", **{name.replace("_", "-"): one for name, one in headers.items()}}
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        async with self.http.request(
            method, self.hosted.url + path, data=data, headers=sent, allow_redirects=False
        ) as answer:
            content = await answer.read()
            return answer.status, msgspec.json.decode(content) if content else None

    async def has_sku(self, who: str, sku: str) -> bool:
        """Return whether the router has heard of the person's SKU."""
        _, seen = await self.call(who, "GET", "/api/catalog")
        return bool(seen["accounts"][0]["account"]["sku"] == sku)

    async def noted(self, service: str, kind: type[Event]) -> list[Any]:
        path = f"/api/operations/{service}/events?limit=1000&type={kind.TYPE}"
        _, page = await self.call("operator.token", "GET", path)
        return [event["data"] for event in page["events"]]

    async def refusals(self) -> set[tuple[str, str, str]]:
        """Who was refused, at which route, and the code, as it was noted in any service."""
        noted = [one for service in self.services for one in await self.noted(service.name, CallerRefused)]
        noted += await self.noted("identity", AccessRefused)
        return {(one["actor"], PATTERN.sub("", one["route"]), one["error"]) for one in noted}


def name_of(route: Route) -> str:
    """Return what a route is called, without what its path says of the form of a number."""
    return f"{route.method} {PATTERN.sub('', route.path)}"


@asynccontextmanager
async def running(sandbox: GitHubSandbox, directory: Path) -> AsyncIterator[Peopled]:
    key_file, port, internal_port = directory / "app.pem", free_port(), free_port()
    key_file.write_text(sandbox.private_key_pem)
    env = {
        "ZEKT_DATA_DIR": str(directory / "data"),
        "ZEKT_PORT": str(port),
        "ZEKT_INTERNAL_PORT": str(internal_port),
        "ZEKT_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "ZEKT_IDENTITY_URL": f"http://127.0.0.1:{internal_port}",
        "ZEKT_GITHUB_API_URL": sandbox.url,
        "ZEKT_GITHUB_OIDC_ISSUER": sandbox.issuer,
        "ZEKT_GITHUB_APP_ID": str(sandbox.app_id),
        "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE": str(key_file),
        "ZEKT_GITHUB_WEBHOOK_SECRETS": sandbox.webhook_secret,
        "ZEKT_GITHUB_OAUTH_CLIENT_ID": sandbox.client_id,
        "ZEKT_GITHUB_OAUTH_CLIENT_SECRET": sandbox.client_secret,
        "ZEKT_WEBHOOK_MASTER_KEYS": f"1:{MASTER_KEY.hex()}",
        "ZEKT_OPERATORS": str(SRE),
    }
    sandbox.callback_urls = [f"http://127.0.0.1:{port}/auth/callback"]
    services = list(build(env))
    jar = aiohttp.DummyCookieJar()
    async with (
        serving(services, HostSettings.read(EnvironmentReader(env))) as hosted,
        aiohttp.ClientSession(cookie_jar=jar) as http,
    ):
        await hosted.until_ready()
        tokens = {login: await session_of(http, hosted.url, login) for login in PEOPLE}
        tokens["operator.token"] = ensure_operator_token(directory / "data")
        sandbox.webhook_url = f"{hosted.url}/webhooks/github"
        yield Peopled(services, hosted, http, directory / "data", tokens)
