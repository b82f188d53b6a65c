from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from zekt_common.auth.service_tokens import EmbeddedIssuer
from zekt_common.contracts.identity import TOKENS_INSTALLATION
from zekt_common.kit.host import Hosted, serving
from zekt_common.kit.identity_client import IdentityClient
from zekt_common.kit.settings import HostSettings
from zekt_identity.app import build_service
from zekt_identity.settings import IdentitySettings
from zekt_sandbox import GitHubSandbox


@dataclass
class Running:
    """Identity over the stand-in, with a client that may look up tokens."""

    hosted: Hosted
    sandbox: GitHubSandbox
    http: aiohttp.ClientSession
    issuer: EmbeddedIssuer
    client: IdentityClient

    async def post(self, body: Any, authorization: str | None = None) -> tuple[int, dict[str, str], Any]:
        token = self.issuer.mint(service="test", roles=[TOKENS_INSTALLATION])
        headers = {"Authorization": authorization or f"Bearer {token}"}
        url = f"{self.hosted.internal_url}/internal/tokens/installation"
        sent: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self.http.post(url, headers=headers, **sent) as response:
            return response.status, dict(response.headers), await response.json()


@asynccontextmanager
async def identity_at(sandbox: GitHubSandbox, data_dir: Path, **changes: Any) -> AsyncIterator[Running]:
    honest: dict[str, Any] = {
        "github_api_url": sandbox.url,
        "app_id": sandbox.app_id,
        "private_key_pem": sandbox.private_key_pem.encode(),
    }
    host = HostSettings(port=0, internal_port=0, data_dir=data_dir)
    settings = IdentitySettings(host=host, **(honest | changes))
    issuer = EmbeddedIssuer(data_dir)
    async with (
        serving([build_service(settings, ask_again_s=0.01)], settings.host) as hosted,
        aiohttp.ClientSession() as http,
    ):
        client = IdentityClient(
            http, hosted.internal_url, lambda: issuer.mint(service="test", roles=[TOKENS_INSTALLATION])
        )
        yield Running(hosted, sandbox, http, issuer, client)


@pytest.fixture
async def sandbox() -> AsyncIterator[GitHubSandbox]:
    async with GitHubSandbox.start() as running:
        running.create_repository("acme/provider")
        running.create_repository("beta/consumer")
        running.create_repository("beta/other")
        running.create_installation("beta", id=72, repositories=["beta/consumer"])
        yield running


@pytest.fixture
async def identity(sandbox: GitHubSandbox, tmp_path: Path) -> AsyncIterator[Running]:
    async with identity_at(sandbox, tmp_path) as running:
        await running.hosted.until_ready()
        yield running
