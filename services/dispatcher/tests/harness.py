"""The dispatcher over real sockets: the stand-in for GitHub, identity, and the bus that the router publishes on."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.auth.authorisation_log import CallerRefused
from zekt_common.auth.entra_settings import EntraClient
from zekt_common.auth.operator import ensure_operator_token
from zekt_common.contracts.router import DeliveryRequested, Origin
from zekt_common.envelope import Envelope, NewEvent, seal
from zekt_common.kit.host import Hosted, serving
from zekt_common.kit.settings import HostSettings
from zekt_common.ports import OutgoingMessage
from zekt_dispatcher.app import build_service
from zekt_dispatcher.settings import DispatcherSettings
from zekt_identity.app import build_service as build_identity
from zekt_identity.settings import IdentitySettings
from zekt_sandbox import GitHubSandbox

TARGET = "beta/consumer"
DISPATCHES = "/repos/*/dispatches"
PATIENCE_S = 60.0
"""No measure of speed: what never happens is told after it, instead of by the time limit of all tests."""


def origin() -> Origin:
    return Origin(
        repository="acme/provider",
        service_owner="acme",
        service_slug="ci-finished",
        service_alias="Acme CI",
        workflow="CI",
        conclusion="success",
    )


@dataclass
class Running:
    """Dispatcher and identity in one process, with the router's end of the bus and the dispatcher's own ports."""

    hosted: Hosted
    sandbox: GitHubSandbox
    http: aiohttp.ClientSession
    backend: Backend
    data_dir: Path
    settings: DispatcherSettings
    sent: int = field(default=0)

    def requested(self, **changes: Any) -> DeliveryRequested:
        self.sent += 1
        honest: dict[str, Any] = {
            "delivery_id": f"{self.sent:032x}",
            "subscription_id": f"sub-{self.sent}",
            "repository_id": 100,
            "owner_id": 10,
            "run_id": 4711,
            "run_attempt": 1,
            "message_id": "m" * 32,
            "event_type": "deployment",
            "origin": origin(),
            "target_repository_id": 200,
            "target_repository": TARGET,
            "installation_id": 55,
            "size_bytes": 9,
            "payload": msgspec.Raw(b'{"a":"b"}'),
        }
        return DeliveryRequested(**(honest | changes))

    async def publish(self, *requests: DeliveryRequested, copy: str = "", at: datetime | None = None) -> None:
        messages = [
            OutgoingMessage(envelope=(envelope := enveloped(request, at)), message_id=envelope.id + copy)
            for request in requests
        ]
        await self.backend.bus.publish("router", messages)

    async def ask(self, **changes: Any) -> str:
        """Publish one request and return its delivery id."""
        request = self.requested(**changes)
        await self.publish(request)
        return request.delivery_id

    async def events(self, delivery_id: str) -> list[Envelope]:
        return await self.backend.store.read(f"delivery/{delivery_id}")

    async def refusals(self) -> set[tuple[str, str, str]]:
        """Who was refused, where, and the code, as it was noted."""
        (feed,) = await self.backend.store.feeds()
        stored = (await self.backend.store.read_feed(feed)).events
        refused = [event.data for event in stored if event.type == CallerRefused.TYPE]
        noted = [msgspec.json.decode(data, type=CallerRefused) for data in refused]
        return {(refusal.actor, refusal.route, refusal.error) for refusal in noted}

    async def until(self, delivery_id: str, kind: str) -> list[str]:
        """Wait until the delivery has an event of this kind and return the kinds of all that it has."""
        (feed,) = await self.backend.store.feeds()
        cursor = ""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                kinds = [event.type.removeprefix("dev.zekt.delivery.") for event in await self.events(delivery_id)]
                if kind in kinds:
                    return kinds
                page = await self.backend.store.read_feed(feed, cursor)
                cursor = page.cursor
                await self.backend.store.wait(feed, cursor, timeout_s=1)

    async def projected(self) -> None:
        """Wait until the views show all that is stored."""
        async with asyncio.timeout(PATIENCE_S):
            lag_s = 1.0
            while lag_s > 0:
                _, status = await self.call("GET", "/api/operations/dispatcher/status")
                lag_s = status["projectors"]["dispatcher"]["lag_s"]

    async def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        status, content, _ = await self.raw(method, path, body, token=token)
        return status, json.loads(content)

    async def raw(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes, Mapping[str, str]]:
        credential = token or ensure_operator_token(self.data_dir)
        sent = {"Authorization": f"Bearer {credential}"} | (headers or {})
        async with self.http.request(method, self.hosted.url + path, json=body, headers=sent) as answer:
            return answer.status, await answer.read(), answer.headers

    async def consumer_token(self, repository: str = TARGET) -> tuple[str, int]:
        """Start a run in the consumer's repository and return its OIDC token and run id."""
        run = await self.sandbox.start_run(repository, ".github/workflows/on-zekt.yml", send=False)
        return self.sandbox.mint_oidc_token(run.id), run.id


def enveloped(request: DeliveryRequested, at: datetime | None = None) -> Envelope:
    new = NewEvent(
        body=request,
        source="zekt/router",
        subject=f"{request.repository_id}/{request.run_id}",
        correlationid=f"{request.repository_id}/{request.run_id}",
        causationid="run/100/4711@3",
        traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        accountid="10",
    )
    stream = f"run/100/4711/{request.delivery_id[-8:]}"
    return seal(new, stream=stream, version=1, commitid="c" * 16, time=at or datetime.now(UTC))


def damage_payloads(data_dir: Path) -> None:
    """Overwrite every stored payload, as a failing disk would."""
    with contextlib.closing(sqlite3.connect(data_dir / "payloads.db", isolation_level=None)) as connection:
        connection.execute("UPDATE payloads SET body = zeroblob(length(body))")


@asynccontextmanager
async def running(sandbox: GitHubSandbox, data_dir: Path, **changes: Any) -> AsyncIterator[Running]:
    host = HostSettings(port=0, internal_port=0, data_dir=data_dir)
    entra: EntraClient | None = changes.get("entra")
    identity = IdentitySettings(
        entra=None if entra is None else entra.tenant,
        host=host,
        github_api_url=sandbox.url,
        app_id=sandbox.app_id,
        private_key_pem=sandbox.private_key_pem.encode(),
    )
    async with (
        serving([build_identity(identity)], host) as door,
        open_backend(data_dir, "dispatcher") as backend,
        aiohttp.ClientSession() as http,
    ):
        honest: dict[str, Any] = {
            "host": host,
            "github_api_url": sandbox.url,
            "identity_url": door.internal_url,
            "public_url": "https://zekt.example",
            "oidc_issuer": sandbox.issuer,
        }
        settings = DispatcherSettings(**(honest | changes))
        async with serving([build_service(settings)], host) as hosted:
            await hosted.until_ready()
            yield Running(hosted, sandbox, http, backend, data_dir, settings)
