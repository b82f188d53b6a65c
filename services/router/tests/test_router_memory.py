"""What the router keeps in memory or in views is what its streams say."""

import msgspec

from services.router.tests.stored_runs import (
    CONSUMER,
    STREAM,
    T0,
    completed,
    define,
    envelope,
    handlers,
    provider,
    sent,
)
from zekt_common.adapters.embedded import Backend
from zekt_common.envelope import NewEvent
from zekt_router.catalog import Define, decide
from zekt_router.catalog_model import Account
from zekt_router.catalogs import Catalogs
from zekt_router.directory import KnownNames
from zekt_router.heard import Heard
from zekt_router.horizon import Horizon
from zekt_router.projections import project
from zekt_router.run_memory import RunMemory


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


async def test_a_replica_follows_the_watermark_that_another_has_heard_of(backend: Backend) -> None:
    here, elsewhere = Horizon(backend.views), Horizon(backend.views)
    heard: list[bool] = []
    here.notify(lambda: heard.append(True))
    await here.move(T0)
    assert (heard, here.now()) == ([True], T0)
    assert await elsewhere.through() == elsewhere.now() == T0


async def test_names_count_only_as_long_as_they_are_present(backend: Backend) -> None:
    catalogs = Catalogs(backend.store)
    names = KnownNames(backend.views, catalogs, Heard(backend.views))
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
