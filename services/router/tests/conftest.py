import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.auth.operator import ensure_operator_token
from zekt_common.contracts.ingress import MessageReceived, RunCompleted, Watermark
from zekt_common.envelope import Envelope, Event, NewEvent, decode, seal
from zekt_common.kit.host import Hosted, serving
from zekt_common.kit.settings import HostSettings
from zekt_common.ports import OutgoingMessage, ReceivedMessage
from zekt_router.app import build_service
from zekt_router.settings import RouterSettings

T0 = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE_S = 60.0
"""No measure of speed: what never happens is told after it, instead of by the time limit of all tests."""
CI = ".github/workflows/ci.yml"
RUN_COMPLETED: dict[str, Any] = {
    "repository_id": 11,
    "repository": "acme/provider",
    "owner_id": 1,
    "run_id": 7,
    "run_attempt": 1,
    "workflow_path": CI,
    "workflow_name": "CI",
    "conclusion": "success",
    "trigger": "push",
    "branch": "main",
    "commit_sha": "c0ffee",
    "head_repository_id": 11,
    "installation_id": 5,
}
MESSAGE: dict[str, Any] = {
    "message_id": "m",
    "repository_id": 11,
    "repository": "acme/provider",
    "owner_id": 1,
    "run_id": 7,
    "run_attempt": 1,
    "workflow_path": CI,
    "event_type": "deployment",
    "size_bytes": 8,
    "payload": msgspec.Raw(b'{"a": 1}'),
}
CATALOG: dict[str, Any] = {
    "apiVersion": "zekt.dev/v1",
    "accounts": [{"login": "acme", "accountId": 1}, {"login": "beta", "accountId": 2}],
    "repositories": [
        {"repository": "acme/provider", "enabledAs": ["provider"], "repositoryId": 11, "installationId": 5},
        {"repository": "beta/consumer", "enabledAs": ["consumer"], "repositoryId": 22, "installationId": 6},
    ],
    "workflows": [{"repository": "acme/provider", "path": CI, "mode": "events+messages"}],
    "services": [
        {"owner": "acme", "slug": "ci-finished", "alias": "Acme CI", "repository": "acme/provider", "workflow": CI}
    ],
    "subscriptions": [{"service": "acme/ci-finished", "target": "beta/consumer", "status": "approved"}],
}


@dataclass
class Router:
    """The router as hosted, with the bus on both of its sides."""

    hosted: Hosted
    backend: Backend
    http: aiohttp.ClientSession
    operator: dict[str, str]

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.http.get(f"{self.hosted.url}{path}", headers=self.operator) as response:
            return response.status, await response.json()

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        sent: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self.http.post(f"{self.hosted.url}{path}", headers=self.operator, **sent) as response:
            return response.status, await response.json()

    async def apply(self, **changes: Any) -> tuple[int, Any]:
        return await self.post("/api/catalog/apply", CATALOG | changes)

    async def complete(self, seconds: float, **fields: Any) -> None:
        received_at = T0 + timedelta(seconds=seconds)
        await self.publish(RunCompleted(**(RUN_COMPLETED | {"received_at": received_at} | fields)))

    async def send(self, seconds: float, **fields: Any) -> None:
        received_at = T0 + timedelta(seconds=seconds)
        await self.publish(MessageReceived(**(MESSAGE | {"received_at": received_at} | fields)))

    async def watermark(self, seconds: float) -> None:
        await self.publish(Watermark(through=T0 + timedelta(seconds=seconds)))

    async def publish(self, body: Event) -> None:
        run = f"{getattr(body, 'repository_id', 0)}/{getattr(body, 'run_id', 0)}"
        event = NewEvent(body=body, source="test", subject=run, correlationid=run, causationid="test", accountid="1")
        stream = f"test/{secrets.token_hex(8)}"
        envelope = seal(event, stream=stream, version=1, commitid="c", time=getattr(body, "received_at", T0))
        await self.backend.bus.publish("ingress", [OutgoingMessage(envelope=envelope, to="router")])

    async def state(self, body: Event, version: int = 1) -> None:
        """Have identity say this."""
        facts = msgspec.structs.asdict(body)
        subject = str(facts.get("repository_id") or facts.get("installation_id") or facts["account_id"])
        event = NewEvent(body=body, source="test", subject=subject, correlationid=subject, causationid="test")
        envelope = seal(event, stream=f"{body.TYPE}/{subject}", version=version, commitid="c", time=T0)
        copy = f"{envelope.id}~{secrets.token_hex(4)}"  # as after a rewind
        await self.backend.bus.publish("identity", [OutgoingMessage(envelope=envelope, message_id=copy)])

    async def catalog(self, done: Callable[[dict[int, Any]], bool]) -> dict[int, Any]:
        """Return the catalogs by account once they are as wanted."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                _, body = await self.get("/api/catalog")
                catalogs = {each["account"]["accountId"]: each for each in body["accounts"]}
                if done(catalogs):
                    return catalogs
                await self.backend.store.wait("all", "", timeout_s=0.01)

    async def hear(self, subscription: str, count: int) -> list[Envelope]:
        """Take this many of the router's messages to the subscription."""
        receiver = self.backend.bus.subscribe("router", subscription)
        heard: list[ReceivedMessage] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(heard) < count:
                heard += await receiver.receive(count - len(heard), timeout_s=1.0)
        for message in heard:
            await receiver.complete(message)
        return [decode(message.body) for message in heard]

    async def settled(self, done: Callable[[Any], bool], path: str = "/api/runs/11/7") -> Any:
        """Return the run's story once it is as wanted."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                status, body = await self.get(path)
                if status == 200 and done(body):
                    return body
                await self.backend.store.wait("all", "", timeout_s=0.01)
                await asyncio.sleep(0)


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    async with open_backend(tmp_path, "router") as opened:
        yield opened


@pytest.fixture
def hosting(tmp_path: Path) -> Callable[..., Any]:
    @asynccontextmanager
    async def start(
        identity_url: str = "http://127.0.0.1:9", api_url: str = "http://127.0.0.1:9"
    ) -> AsyncIterator[Router]:
        host = HostSettings(port=0, internal_port=0, data_dir=tmp_path)
        settings = RouterSettings(host=host, identity_url=identity_url, github_api_url=api_url)
        async with (
            serving([build_service(settings)], host) as hosted,
            open_backend(tmp_path, "router") as backend,
            aiohttp.ClientSession() as http,
        ):
            await hosted.until_ready()
            operator = {"Authorization": f"Bearer {ensure_operator_token(tmp_path)}"}
            yield Router(hosted, backend, http, operator)

    return start


@pytest.fixture
async def router(hosting: Callable[..., Any]) -> AsyncIterator[Router]:
    async with hosting() as running:
        yield running
