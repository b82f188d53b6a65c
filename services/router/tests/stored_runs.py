"""Runs on a real store: catalogs to define, messages to hear of, and what was stored in the end."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from zekt_common.adapters.embedded import Backend
from zekt_common.contracts.ingress import MessageReceived, RunCompleted
from zekt_common.envelope import Envelope, Event, NewEvent, seal
from zekt_common.ports import PayloadRef
from zekt_router.catalog import Define, decide
from zekt_router.catalog_appends import append_in_portions
from zekt_router.catalog_model import Account, Catalog, Repository, Service, Subscription, Workflow
from zekt_router.catalogs import Catalogs
from zekt_router.handlers import Handlers
from zekt_router.horizon import Horizon
from zekt_router.process import Runs
from zekt_router.run_events import RUN_SCHEMAS, RunRouted

T0 = datetime(2026, 1, 1, tzinfo=UTC)
CI = ".github/workflows/ci.yml"
STREAM = "run/11/7"
SUBSCRIBERS = 250


def provider(mode: Any = "events", subscribers: int = 1, **service: Any) -> Define:
    return Define(
        account_id=1,
        account=Account(account_id=1, login="acme"),
        repositories=[
            Repository(repository_id=11, repository="acme/provider", installation_id=5, enabled_as=["provider"])
        ],
        workflows=[Workflow(repository_id=11, path=CI, mode=mode)],
        services=[Service(**{"slug": "ci", "repository_id": 11, "workflow_path": CI, **service})],
        subscriptions=[
            Subscription(
                subscription_id=f"s{number:04d}",
                service_slug="ci",
                repository_id=11,
                target_repository_id=22,
                target_repository="beta/consumer",
                target_account_id=2,
                status="approved",
            )
            for number in range(subscribers)
        ],
    )


CONSUMER = Define(
    account_id=2,
    account=Account(account_id=2, login="beta"),
    repositories=[Repository(repository_id=22, repository="beta/consumer", installation_id=6, enabled_as=["consumer"])],
)


async def define(backend: Backend, command: Define, *, after: int = 0) -> None:
    stream = f"catalog/{command.account_id}"
    events = [
        NewEvent(body=event, source="test", subject="1", correlationid="1", causationid="1")
        for event in decide(Catalog(), command)
    ]
    await append_in_portions(backend.store, stream, events, expected_version=after, stored=[])


def handlers(backend: Backend, store: Any = None) -> Handlers:
    used = store or backend.store
    runs = Runs(used, backend.payloads, Catalogs(used))
    return Handlers(runs, Horizon(backend.views), backend.bus.subscribe("ingress", "router"))


def completed(seconds: float = 0) -> RunCompleted:
    return RunCompleted(
        received_at=T0 + timedelta(seconds=seconds),
        repository_id=11,
        repository="acme/provider",
        owner_id=1,
        run_id=7,
        run_attempt=1,
        workflow_path=CI,
        workflow_name="CI",
        conclusion="success",
        trigger="push",
        branch="main",
        commit_sha="c0ffee",
        head_repository_id=11,
        installation_id=5,
    )


def sent(
    seconds: float = 0, *, name: str = "m", payload: bytes | None = b'{"a": 1}', ref: PayloadRef | None = None
) -> MessageReceived:
    return MessageReceived(
        received_at=T0 + timedelta(seconds=seconds),
        message_id=name,
        repository_id=11,
        repository="acme/provider",
        owner_id=1,
        run_id=7,
        run_attempt=1,
        workflow_path=CI,
        event_type="deployment",
        size_bytes=8,
        payload=None if payload is None else msgspec.Raw(payload),
        payload_ref=ref,
    )


def envelope(body: Event, name: str = "c") -> Envelope:
    event = NewEvent(
        body=body, source="test", subject="11/7", correlationid="11/7", causationid="1", traceparent="00-a-b-01"
    )
    return seal(event, stream=f"webhook/1/{name}", version=1, commitid="c", time=T0)


async def story(backend: Backend) -> list[Event]:
    return [RUN_SCHEMAS.decode(stored) for stored in await backend.store.read(STREAM)]


def targets(events: Sequence[Event]) -> list[str]:
    return [target.subscription_id for event in events if isinstance(event, RunRouted) for target in event.routed]
