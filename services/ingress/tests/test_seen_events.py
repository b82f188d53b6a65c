import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.contracts.router import CatalogAdvanced
from zekt_common.ports import Document, Put
from zekt_ingress.seen_events import PAGE, SeenEvents

from .conftest import catalog_message

AWAITED_S = 30


class Listed:
    """The marks of one catalog in memory, and how often they were listed."""

    def __init__(self) -> None:
        self.marks: dict[str, list[str]] = {}
        self.times = 0

    async def listing(self, partition: str, /, *, after: str = "", limit: int = 100) -> list[Document]:
        self.times += 1
        found = sorted(mark for mark in self.marks.get(partition, []) if mark > after)
        return [Document(partition=partition, id=mark, body=b"{}", etag="") for mark in found[:limit]]

    def take(self, puts: Sequence[Put]) -> None:
        for put in puts:
            self.marks.setdefault(put.partition, []).append(put.id)


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    async with open_backend(tmp_path, "ingress") as opened:
        yield opened


@pytest.fixture
def seen(backend: Backend) -> SeenEvents:
    return SeenEvents(backend.views)


def mark(seen: SeenEvents, version: int) -> Put:
    return seen.mark(catalog_message(version, CatalogAdvanced()))


def named(*versions: int, account_id: int = 0) -> list[str]:
    stream = catalog_message(1, CatalogAdvanced()).stream if not account_id else f"catalog/{account_id}"
    return [f"{stream}@{version}" for version in versions]


async def see(backend: Backend, seen: SeenEvents, *versions: int) -> None:
    for version in versions:
        await backend.views.write([mark(seen, version)])
        seen.tell()


async def test_waiting_ends_once_the_events_have_been_seen(backend: Backend, seen: SeenEvents) -> None:
    waiting = asyncio.create_task(seen.wait(named(1, 2), timeout_s=AWAITED_S))
    await see(backend, seen, 2)
    assert await seen.wait(named(1, 2), timeout_s=0) == set(named(1))
    await see(backend, seen, 1)
    assert await waiting == set()


async def test_what_another_process_has_seen_counts(backend: Backend, seen: SeenEvents) -> None:
    waiting = asyncio.create_task(seen.wait(named(1), timeout_s=AWAITED_S))
    await asyncio.sleep(0)
    await see(backend, SeenEvents(backend.views), 1)
    assert await waiting == set()


async def test_what_is_missing_is_told_of_every_catalog(backend: Backend, seen: SeenEvents) -> None:
    await see(backend, seen, 1)
    others = named(1, 2, account_id=77)
    assert await seen.wait([*others, *named(1, 3)], timeout_s=0) == {*others, *named(3)}


@pytest.mark.parametrize(
    "event_id", ["", "catalog/1", "catalog/1@", "catalog/1@x", "@1", "catalog/1@²", "catalog/1@01"]
)
async def test_what_is_no_catalog_event_is_never_seen(seen: SeenEvents, event_id: str) -> None:
    assert await seen.wait([event_id], timeout_s=0) == {event_id}


@given(st.sets(st.integers(1, 2_000)), st.sets(st.integers(1, 2_000), min_size=1))
def test_what_has_not_been_seen_is_what_is_missing(known: set[int], awaited: set[int]) -> None:
    listed: Any = Listed()
    seen = SeenEvents(listed)
    listed.take([mark(seen, version) for version in known])
    missing = asyncio.run(seen.wait(named(*awaited), timeout_s=0))
    assert missing == set(named(*(awaited - known)))


async def test_a_look_is_one_listing_however_many_events_are_awaited() -> None:
    listed: Any = Listed()
    seen = SeenEvents(listed)
    many = range(1, 2 * PAGE + 1)
    waiting = asyncio.create_task(seen.wait(named(*many), timeout_s=AWAITED_S))
    for version in many:
        listed.take([mark(seen, version)])
        seen.tell()
        await asyncio.sleep(0)
    assert await waiting == set()
    assert listed.times <= len(many) + 1
