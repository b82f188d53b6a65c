"""Runs' transactions on the real store: resumed after any cut, decided from the version they started with."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.contracts.ingress import MessageReceived, RunCompleted
from zekt_common.envelope import Envelope, Event, NewEvent, seal
from zekt_common.errors import StreamConflict
from zekt_common.ports import OutgoingMessage, PayloadRef
from zekt_router.catalog import Define, decide
from zekt_router.catalog_model import Account, Catalog, Repository, Service, Subscription, Workflow
from zekt_router.catalogs import Catalogs
from zekt_router.directory import KnownNames
from zekt_router.handlers import Handlers
from zekt_router.horizon import Horizon
from zekt_router.process import Runs
from zekt_router.projections import project
from zekt_router.run_events import RUN_SCHEMAS, RoutingFinished, RunRouted
from zekt_router.run_memory import RunMemory

T0 = datetime(2026, 1, 1, tzinfo=UTC)
CI = ".github/workflows/ci.yml"
STREAM = "run/11/7"
SUBSCRIBERS = 250


class CutStore:
    """A store that dies instead of carrying out the append after the first `left` ones."""

    def __init__(self, backend: Backend, left: int) -> None:
        self._store = backend.store
        self.left = left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, stream: str, events: Sequence[NewEvent], /, *, expected_version: int) -> list[Envelope]:
        if self.left == 0:
            raise ConnectionAbortedError
        self.left -= 1
        return await self._store.append(stream, events, expected_version=expected_version)


class RacedStore(CutStore):
    """A store in which another handler wins the first race for the run."""

    async def append(self, stream: str, events: Sequence[NewEvent], /, *, expected_version: int) -> list[Envelope]:
        if self.left > 0:
            self.left -= 1
            await self._store.append(stream, events, expected_version=expected_version)
            raise StreamConflict(stream, expected=expected_version, actual=expected_version + 1)
        return await self._store.append(stream, events, expected_version=expected_version)


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    async with open_backend(tmp_path, "router") as opened:
        yield opened


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
    await backend.store.append(stream, events, expected_version=after)


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


async def test_a_run_in_events_mode_takes_one_append(backend: Backend) -> None:
    await define(backend, provider(subscribers=90))
    await define(backend, CONSUMER)
    await handlers(backend).run_completed(completed(), envelope(completed()))
    stored = await backend.store.read(STREAM)
    assert len({one.commitid for one in stored}) == 1
    assert [one.traceparent for one in stored] == ["00-a-b-01"] * 4
    assert {one.causationid for one in stored} == {"webhook/1/c@1"}


@pytest.mark.parametrize("appends", [0, 1, 2, 3])
async def test_routing_cut_after_any_append_is_continued_exactly_by_the_redelivered_message(
    backend: Backend, appends: int
) -> None:
    await define(backend, provider(subscribers=SUBSCRIBERS))
    await define(backend, CONSUMER)
    cut = CutStore(backend, appends)
    if appends < 3:
        with pytest.raises(ConnectionAbortedError):
            await handlers(backend, cut).run_completed(completed(), envelope(completed()))
    await handlers(backend).run_completed(completed(), envelope(completed()))
    events = await story(backend)
    assert targets(events) == [f"s{number:04d}" for number in range(SUBSCRIBERS)]
    assert sum(isinstance(event, RoutingFinished) for event in events) == 1


async def test_routing_continues_from_the_catalog_it_started_with(backend: Backend) -> None:
    await define(backend, provider(subscribers=SUBSCRIBERS))
    await define(backend, CONSUMER)
    with pytest.raises(ConnectionAbortedError):
        await handlers(backend, CutStore(backend, 1)).run_completed(completed(), envelope(completed()))
    version = len(await backend.store.read("catalog/1"))
    await define(backend, provider(subscribers=SUBSCRIBERS + 50), after=version)
    await handlers(backend).run_completed(completed(), envelope(completed()))
    assert len(targets(await story(backend))) == SUBSCRIBERS


async def test_the_loser_of_a_race_decides_again(backend: Backend) -> None:
    await define(backend, provider())
    await define(backend, CONSUMER)
    await handlers(backend, RacedStore(backend, 1)).run_completed(completed(), envelope(completed()))
    assert targets(await story(backend)) == ["s0000"]


async def test_a_window_stays_open_while_a_message_about_the_run_is_unsettled(backend: Backend) -> None:
    await define(backend, provider("events+messages"))
    await define(backend, CONSUMER)
    router = handlers(backend)
    receiver = backend.bus.subscribe("ingress", "router")
    on_its_way = envelope(sent(1), "m")
    await backend.bus.publish("ingress", [OutgoingMessage(envelope=on_its_way, to="router")])
    (locked,) = await receiver.receive(1, timeout_s=1)
    await router.run_completed(completed(), envelope(completed()))
    await Horizon(backend.views).move(T0 + timedelta(seconds=60))
    assert await router.close_windows(STREAM) is False
    await router.message_received(sent(1), on_its_way)
    await receiver.complete(locked)
    assert await router.close_windows(STREAM) is True
    routed = [event for event in await story(backend) if isinstance(event, RunRouted)]
    assert [(event.message_id, event.late) for event in routed] == [("m", False)]


async def test_a_lower_watermark_holds_windows_open_again(backend: Backend) -> None:
    await define(backend, provider("events+messages"))
    router, horizon = handlers(backend), Horizon(backend.views)
    await router.run_completed(completed(), envelope(completed()))
    await horizon.move(T0 + timedelta(seconds=60))
    await horizon.move(T0 + timedelta(seconds=1))
    await router.close_windows(STREAM)
    assert len(await story(backend)) == 1


async def test_a_payload_by_reference_is_checked_against_the_schema(backend: Backend) -> None:
    schema = {"properties": {"a": {"type": "string"}}}
    await define(backend, provider("events+messages", schema=schema))
    await define(backend, CONSUMER)
    ref = await backend.payloads.put(1, b'{"a": 1}')
    router = handlers(backend)
    await router.message_received(sent(0, payload=None, ref=ref), envelope(sent(), "m"))
    await router.run_completed(completed(1), envelope(completed()))
    (page,) = [event for event in await story(backend) if isinstance(event, RunRouted)]
    assert [refused.reason for refused in page.refused] == ["schema_mismatch"]
    assert page.payload_ref == ref


async def test_a_payload_that_has_expired_is_refused_where_it_would_be_checked(backend: Backend) -> None:
    await define(backend, provider("events+messages", schema={"type": "object"}))
    await define(backend, CONSUMER)
    gone = PayloadRef(account_id=1, sha256="0" * 64, size_bytes=8, expires_at=T0)
    router = handlers(backend)
    await router.message_received(sent(0, payload=None, ref=gone), envelope(sent(), "m"))
    await router.run_completed(completed(1), envelope(completed()))
    (page,) = [event for event in await story(backend) if isinstance(event, RunRouted)]
    assert [refused.reason for refused in page.refused] == ["payload_unavailable"]


async def test_catalogs_are_read_at_any_version_and_kept_up(backend: Backend) -> None:
    await define(backend, provider(subscribers=3))
    catalogs = Catalogs(backend.store, capacity=1)
    latest = await catalogs.latest(1)
    assert (latest.version, len(latest.catalog.subscriptions)) == (7, 3)
    assert len((await catalogs.at(1, 5)).catalog.subscriptions) == 1
    await define(backend, CONSUMER)
    assert (await catalogs.latest(2)).version == 2
    assert (await catalogs.latest(1)).catalog == latest.catalog
    assert (await catalogs.latest(99)).version == 0


async def test_what_is_remembered_of_a_run_is_what_its_stream_says(backend: Backend) -> None:
    await define(backend, provider("events+messages"))
    await define(backend, CONSUMER)
    here, elsewhere = RunMemory(backend.store), handlers(backend)
    for second in range(3):
        body = sent(second, name=f"m{second}")
        await elsewhere.message_received(body, envelope(body, body.message_id))
        assert (await here.load(STREAM)).run == (await RunMemory(backend.store).load(STREAM)).run
    await elsewhere.run_completed(completed(1), envelope(completed()))
    at = await here.load(STREAM)
    assert at.run == (await RunMemory(backend.store).load(STREAM)).run
    assert all(held.message.payload is None for held in at.run.messages.values())


async def test_memory_forgets_the_run_handled_longest_ago(backend: Backend) -> None:
    await define(backend, provider())
    await define(backend, CONSUMER)
    router, memory = handlers(backend), RunMemory(backend.store, capacity=1)
    await router.run_completed(completed(), envelope(completed()))
    first = await memory.load(STREAM)
    other = msgspec.structs.replace(completed(), run_id=8)
    await router.run_completed(other, envelope(other))
    await memory.load("run/11/8")
    assert (await memory.load(STREAM)).version == first.version
    assert (await memory.load("run/11/9")).version == 0


async def test_a_window_that_is_closed_continues_the_trace_of_its_run(backend: Backend) -> None:
    await define(backend, provider("events+messages"))
    await define(backend, CONSUMER)
    router = handlers(backend)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    cause = msgspec.structs.replace(envelope(completed()), traceparent=trace)
    await router.run_completed(completed(), cause)
    await Horizon(backend.views).move(T0 + timedelta(seconds=2))
    assert await router.close_windows(STREAM)
    stored = await backend.store.read(STREAM)
    assert [(one.traceparent or "")[:35] for one in stored] == [trace[:35]] * len(stored)
    assert stored[-1].causationid == stored[0].id


async def test_a_replica_follows_the_watermark_that_another_has_heard_of(backend: Backend) -> None:
    here, elsewhere = Horizon(backend.views), Horizon(backend.views)
    heard: list[bool] = []
    here.notify(lambda: heard.append(True))
    await here.move(T0)
    assert (heard, here.now()) == ([True], T0)
    assert await elsewhere.through() == elsewhere.now() == T0


async def test_names_count_only_as_long_as_they_are_present(backend: Backend) -> None:
    catalogs = Catalogs(backend.store)
    names = KnownNames(backend.views, catalogs)
    await define(backend, provider())
    for stored in await backend.store.read("catalog/1"):
        await backend.views.write(project(stored)) if project(stored) else None
    assert await names.account_id("ACME") == 1
    known = await names.repository("Acme/Provider")
    assert known is not None
    renamed = msgspec.structs.replace(known.repository, repository="acme/renamed")
    rename = Define(
        account_id=1, account=Account(account_id=1, login="acme-inc", persona="both"), repositories=[renamed]
    )
    at = await catalogs.latest(1)
    events = [
        NewEvent(body=event, source="test", subject="1", correlationid="1", causationid="1")
        for event in decide(at.catalog, rename)
    ]
    await backend.store.append("catalog/1", events, expected_version=at.version)
    assert await names.account_id("acme") is None
    assert await names.repository("acme/provider") is None
