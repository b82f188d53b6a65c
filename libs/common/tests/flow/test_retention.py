"""What has expired goes: from the views, the payloads and the dead letters, by one replica at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from libs.common.tests.flow.consuming import Start, message
from libs.common.tests.patience import PATIENCE_S
from structlog.testing import capture_logs

from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.errors import DocumentConflict, StorageUnusable
from zekt_common.kit.retention import Retention
from zekt_common.ports import Put
from zekt_common.ports.views import ABSENT


class ManualClock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Counted:
    """Something that expires and counts how often it was purged; the first time it may fail."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.purges: asyncio.Queue[None] = asyncio.Queue()

    async def purge(self) -> int:
        self.purges.put_nowait(None)
        if self.failures:
            raise self.failures.pop()
        return 1


def brief(id_: str, ttl_s: int | None) -> Put:
    return Put(partition="p", id=id_, body=b"1", ttl_s=ttl_s)


async def within(awaited: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await awaited()


async def test_an_expired_document_is_gone_at_once_and_deleted_by_the_purge(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_backend(tmp_path, "ingress", clock=clock) as backend:
        views = backend.views
        (old, _) = await views.write([brief("a", 60), brief("b", None)])
        clock.now += timedelta(seconds=59)
        assert [document.id for document in await views.listing("p")] == ["a", "b"]
        clock.now += timedelta(seconds=1)
        assert await views.get("p", "a") is None
        assert [document.id for document in await views.listing("p", limit=1)] == ["b"]
        assert [document.id for document in await views.listing("p", descending=True)] == ["b"]
        with pytest.raises(DocumentConflict):
            await views.write([Put(partition="p", id="a", body=b"2", if_match=old)])
        assert await backend.expiring["views"].purge() == 1
        assert await backend.expiring["views"].purge() == 0
        assert [document.id for document in await views.listing("p")] == ["b"]


async def test_an_expired_document_can_be_created_anew_and_lives_as_it_was_last_written(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_backend(tmp_path, "ingress", clock=clock) as backend:
        await backend.views.write([brief("a", 60), brief("b", 60)])
        clock.now += timedelta(seconds=60)
        await backend.views.write([Put(partition="p", id="a", body=b"2", if_match=ABSENT)])
        await backend.views.write([brief("b", 60)])
        clock.now += timedelta(seconds=60)
        assert await backend.expiring["views"].purge() == 1
        assert [document.id for document in await backend.views.listing("p")] == ["a"]


async def test_a_purge_goes_on_until_nothing_expired_is_left(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_backend(tmp_path, "ingress", clock=clock) as backend:
        await backend.views.write([brief(str(n), 1) for n in range(1200)])
        clock.now += timedelta(seconds=1)
        assert await backend.expiring["views"].purge() == 1200


async def test_dead_letters_are_kept_for_90_days(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_backend(tmp_path, "ingress", clock=clock) as backend:
        receiver = backend.bus.subscribe("ingress", "router")
        for n, age_days in ((1, 0), (2, 30)):
            clock.now += timedelta(days=age_days)
            await backend.bus.publish("ingress", [message(n)])
            (received,) = await receiver.receive(1, timeout_s=0)
            await receiver.dead_letter(received, "unknown")
        clock.now += timedelta(days=60)
        assert await backend.expiring["dead letters"].purge() == 1
        (left,) = await backend.bus.dead_letters("ingress", "router")
        assert left.message_id == "notes/2@1"


async def test_everything_that_expires_is_purged_at_once_and_again_after_the_interval(
    backend: Backend, start: Start
) -> None:
    first, second = Counted(), Counted()
    retention = Retention({"a": first, "b": second}, backend.leases, name="test", interval_s=0.01)
    with capture_logs() as logs:
        start(retention.run())
        for _ in range(3):
            await within(first.purges.get)
            await within(second.purges.get)
    assert {"event": "expired_purged", "what": "a", "purged": 1, "log_level": "info"} in logs


async def test_one_replica_purges_and_another_takes_over_when_it_ends(backend: Backend, start: Start) -> None:
    here, there = Counted(), Counted()
    holder = start(Retention({"a": here}, backend.leases, name="test").run())
    await within(here.purges.get)
    start(Retention({"a": there}, backend.leases, name="test").run())
    holder.cancel()
    await asyncio.wait([holder])
    assert there.purges.empty()
    await within(there.purges.get)


async def test_a_purge_that_fails_is_logged_and_tried_again(backend: Backend, start: Start) -> None:
    failing = Counted(StorageUnusable("disk full"))
    with capture_logs() as logs:
        start(Retention({"a": failing}, backend.leases, name="test").run())
        await within(failing.purges.get)
        await within(failing.purges.get)
    assert [entry["loop"] for entry in logs if entry["log_level"] == "error"] == ["retention/test"]
