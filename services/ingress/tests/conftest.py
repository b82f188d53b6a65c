import io
import json
import sqlite3
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.auth.authorisation_log import CallerRefused
from zekt_common.auth.operator import ensure_operator_token
from zekt_common.clock import Clock, utc_now
from zekt_common.contracts.router import RepositoryChanged, ServiceChanged, SubscriptionChanged
from zekt_common.envelope import Envelope, Event, decode
from zekt_common.kit.host import Hosted, serving
from zekt_common.kit.settings import HostSettings
from zekt_common.ports import OutgoingMessage
from zekt_ingress.app import build_service
from zekt_ingress.settings import IngressSettings
from zekt_ingress.webhook import WEBHOOK_SCHEMAS, WebhookReceived
from zekt_sandbox import GitHubSandbox, Hook, webhook_headers, workflow_run_payload
from zekt_sandbox.github.state import generate_private_key

OWNER_ID = 7_001
REPOSITORY_ID = 42_001
PROVIDER = "acme/provider"
INSTALLATION_ID = 99
WORKFLOW = ".github/workflows/ci.yml"
MASTER_KEY = b"m" * 32
ACCESS = "dev.zekt.access."
"""What operators order, in these tests the router to be waited for, and what is refused is noted in the same store."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: Any

    @property
    def told(self) -> tuple[int, str]:
        """The status and the error's code, or the status in the answer."""
        return self.status, self.body.get("error") or self.body.get("status")


@dataclass
class Running:
    """Ingress over the stand-in: what it is sent, what it has stored, and the router that it hears of catalogs from."""

    hosted: Hosted
    sandbox: GitHubSandbox
    http: aiohttp.ClientSession
    backend: Backend
    data_dir: Path

    async def post(self, path: str, body: Any, headers: dict[str, str]) -> Answer:
        content = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        async with self.http.post(f"{self.hosted.url}{path}", data=content, headers=headers) as response:
            assert response.content_type == "application/json"
            return Answer(response.status, dict(response.headers), await response.json())

    async def webhook(self, body: bytes, headers: dict[str, str]) -> Answer:
        return await self.post("/webhooks/github", body, headers)

    async def operate(self, name: str, body: Any) -> Answer:
        headers = {"Authorization": f"Bearer {ensure_operator_token(self.data_dir)}"}
        return await self.post(f"/api/operations/ingress/{name}", body, headers)

    async def status(self) -> Any:
        headers = {"Authorization": f"Bearer {ensure_operator_token(self.data_dir)}"}
        async with self.http.get(f"{self.hosted.url}/api/operations/ingress/status", headers=headers) as response:
            assert response.status == 200
            return await response.json()

    async def message(self, run_id: int, changes: dict[str, Any] | None = None, **headers: str) -> Answer:
        """Post a message as the published action does, with some members changed."""
        return await self.raw_message(json.dumps(message_of(run_id) | (changes or {})).encode(), run_id, **headers)

    async def raw_message(self, body: bytes, run_id: int, **headers: str) -> Answer:
        honest = {
            "Authorization": f"Bearer {self.sandbox.mint_oidc_token(run_id)}",
            "Content-Type": "application/json",
            "X-GitHub-Repository": PROVIDER,
        }
        return await self.post("/api/events/receive", body, honest | headers)

    async def stored(self) -> list[Envelope]:
        """What is stored about webhooks and messages."""
        return [event for event in await self._events() if not event.type.startswith(ACCESS)]

    async def refusals(self) -> set[tuple[str, str]]:
        """Who was refused, and the code, as it was noted."""
        refused = [event for event in await self._events() if event.type == CallerRefused.TYPE]
        noted = [msgspec.json.decode(event.data, type=CallerRefused) for event in refused]
        return {(refusal.actor, refusal.error) for refusal in noted}

    async def _events(self) -> Sequence[Envelope]:
        (feed,) = await self.backend.store.feeds()
        return (await self.backend.store.read_feed(feed)).events

    def archived(self) -> int:
        """How many payloads are stored."""
        with sqlite3.connect(self.data_dir / "payloads.db") as connection:
            count: int = connection.execute("SELECT count(*) FROM payloads").fetchone()[0]
        connection.close()
        return count

    async def published(self, count: int) -> list[Envelope]:
        """Wait until the router could have received so many messages, watermarks aside."""
        receiver = self.backend.bus.subscribe("ingress", "router")
        found: list[Envelope] = []
        while len(found) < count:
            for message in await receiver.receive(10, timeout_s=5):
                envelope = decode(message.body)
                await receiver.complete(message)
                if not envelope.type.endswith("watermark"):
                    found.append(envelope)
        return found

    async def tell(self, *entities: Event, first_version: int = 1) -> list[str]:
        """Publish catalog messages as the router does, wait until they have been seen, and return their event ids."""
        envelopes = [catalog_message(version, entity) for version, entity in enumerate(entities, start=first_version)]
        await self.backend.bus.publish("router", [OutgoingMessage(envelope=e, to="ingress") for e in envelopes])
        event_ids = [envelope.id for envelope in envelopes]
        answer = await self.operate("wait", {"eventIds": event_ids, "timeoutS": 60})
        assert answer.told == (200, "seen")
        return event_ids

    async def enable(self) -> None:
        """Have the provider enabled, with one service and one approved subscription."""
        await self.tell(provider(), service(), subscription("s1"))


def message_of(run_id: int) -> dict[str, Any]:
    return {
        "eventType": "deployment",
        "repository": PROVIDER,
        "workflowRunId": str(run_id),
        "triggeredBy": "octocat",
        "commitSha": "0" * 40,
        "ref": "refs/heads/main",
        "workflow": "CI",
        "payload": {"version": "1.2.3"},
        "timestamp": "2026-01-01T00:00:00Z",
        "orchestration_step_ref": None,
    }


def catalog_message(version: int, body: Event, *, owner_id: int = OWNER_ID) -> Envelope:
    stream = f"catalog/{owner_id}"
    return Envelope(
        specversion="1.0",
        id=f"{stream}@{version}",
        source="zekt/router",
        type=body.TYPE,
        subject=stream,
        time=utc_now(),
        datacontenttype="application/json",
        stream=stream,
        version=version,
        commitid=f"c{version}",
        schemaversion=1,
        correlationid=stream,
        causationid=f"{stream}@{version}",
        data=msgspec.Raw(msgspec.json.encode(body)),
    )


def provider(**changes: Any) -> RepositoryChanged:
    honest: dict[str, Any] = {
        "repository_id": REPOSITORY_ID,
        "repository": PROVIDER,
        "account_id": OWNER_ID,
        "installation_id": 1,
        "enabled_as": ["provider"],
    }
    return RepositoryChanged(**(honest | changes))


def service(**changes: Any) -> ServiceChanged:
    honest: dict[str, Any] = {
        "repository_id": REPOSITORY_ID,
        "slug": "ci-finished",
        "workflow_path": WORKFLOW,
        "event_types": [],
    }
    return ServiceChanged(**(honest | changes))


def subscription(subscription_id: str, **changes: Any) -> SubscriptionChanged:
    honest: dict[str, Any] = {
        "subscription_id": subscription_id,
        "repository_id": REPOSITORY_ID,
        "service_slug": "ci-finished",
        "target_repository_id": 2,
        "event_types": [],
        "status": "approved",
    }
    return SubscriptionChanged(**(honest | changes))


@asynccontextmanager
async def ingress_at(
    sandbox: GitHubSandbox, data_dir: Path, *, clock: Clock = utc_now, **changes: Any
) -> AsyncIterator[Running]:
    settings = IngressSettings(
        host=HostSettings(port=0, internal_port=0, data_dir=data_dir),
        webhook_secrets=("retired", sandbox.webhook_secret),
        webhook_master_keys=(MASTER_KEY,),
        app_id=sandbox.app_id,
        oidc_issuer=sandbox.issuer,
        oidc_audience="api://zekt",
        **changes,
    )
    async with (
        serving([build_service(settings, clock=clock)], settings.host) as hosted,
        open_backend(data_dir, "ingress") as backend,
        aiohttp.ClientSession() as http,
    ):
        await hosted.until_ready()
        yield Running(hosted, sandbox, http, backend, data_dir)


class Sender:
    """Signs webhooks as GitHub does, through the App's hook or another one."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.app_hook = self.hook(running.sandbox.webhook_secret, "integration", running.sandbox.app_id)

    def hook(self, secret: str, target_type: str, target_id: int) -> Hook:
        return Hook(1, "http://unused.test", secret, target_type, target_id)

    async def completed(self, **options: Any) -> bytes:
        run = await self.running.sandbox.start_run(PROVIDER, WORKFLOW, send=False, **options)
        run.conclusion = "success"
        return workflow_run_payload(run, installation_id=INSTALLATION_ID)

    def headers(self, body: bytes, hook: Hook | None = None, *, event: str = "workflow_run") -> dict[str, str]:
        return webhook_headers(hook or self.app_hook, event=event, guid=str(uuid.uuid4()), body=body)

    async def send(self, body: bytes, hook: Hook | None = None, *, event: str = "workflow_run") -> Answer:
        return await self.running.webhook(body, self.headers(body, hook, event=event))


def webhook_in(envelope: Envelope) -> WebhookReceived:
    webhook = WEBHOOK_SCHEMAS.decode(envelope)
    assert isinstance(webhook, WebhookReceived)
    return webhook


@pytest.fixture(scope="session")
def private_key_pem() -> str:
    return generate_private_key()


@pytest.fixture
async def sandbox(private_key_pem: str) -> AsyncIterator[GitHubSandbox]:
    async with GitHubSandbox.start(private_key_pem=private_key_pem) as started:
        started.create_organization("acme", id=OWNER_ID)
        started.create_repository(PROVIDER, id=REPOSITORY_ID)
        started.create_workflow(PROVIDER, WORKFLOW, name="CI")
        yield started


@pytest.fixture
async def running(sandbox: GitHubSandbox, tmp_path: Path) -> AsyncIterator[Running]:
    async with ingress_at(sandbox, tmp_path / "zekt") as ingress:
        yield ingress


@pytest.fixture
def sender(running: Running) -> Sender:
    return Sender(running)


@pytest.fixture
async def untouched(running: Running) -> AsyncIterator[None]:
    """Whatever the test does must leave nothing behind."""
    yield
    assert await running.stored() == []
    assert running.archived() == 0


@pytest.fixture
async def run_id(running: Running) -> int:
    await running.enable()
    run = await running.sandbox.start_run(PROVIDER, WORKFLOW, send=False)
    return run.id
