import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.envelope import Event
from zekt_common.kit.consumer import Complete
from zekt_ingress.catalog_view import CatalogView
from zekt_ingress.handlers import handlers

from .conftest import OWNER_ID, REPOSITORY_ID, WORKFLOW, catalog_message, provider, service, subscription


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    async with open_backend(tmp_path, "ingress") as opened:
        yield opened


@pytest.fixture
def view(backend: Backend) -> CatalogView:
    return CatalogView(backend.views)


async def handle(view: CatalogView, version: int, body: Event) -> None:
    settlement = await handlers(view)[type(body)](body, catalog_message(version, body))
    assert settlement == Complete()


async def seen(view: CatalogView) -> tuple[bool, int]:
    return (
        await view.is_provider(OWNER_ID, REPOSITORY_ID),
        await view.subscribers(OWNER_ID, REPOSITORY_ID, WORKFLOW, "deployment"),
    )


HISTORY: list[Event] = [
    provider(enabled_as=[]),
    service(workflow_path=".github/workflows/other.yml"),
    subscription("s1", status="requested"),
    provider(),
    service(),
    subscription("s1"),
]


async def test_every_order_of_arrival_and_any_repeat_give_the_same_view(tmp_path: Path) -> None:
    async with open_backend(tmp_path, "ingress") as backend:
        for number, order in enumerate(itertools.permutations(range(6))):
            if number % 7:
                continue
            view = CatalogView(backend.views)
            base = number * 10 + 1  # newer versions than those of the order before
            await handle(view, base, provider(removed=True))
            await handle(view, base + 1, service(removed=True))
            await handle(view, base + 2, subscription("s1", removed=True))
            assert await seen(view) == (False, 0)
            for index in (*order, *order[:2]):
                await handle(view, base + 3 + index, HISTORY[index])
            assert await seen(view) == (True, 1), order


async def test_a_tombstone_outlives_what_came_before_it(view: CatalogView) -> None:
    await handle(view, 5, subscription("s1", removed=True))
    await handle(view, 4, subscription("s1"))
    await handle(view, 1, service())
    assert (await seen(view))[1] == 0
    await handle(view, 6, subscription("s1"))
    assert (await seen(view))[1] == 1


async def test_a_repository_of_another_owner_is_another_repository(view: CatalogView) -> None:
    await handle(view, 1, provider())
    assert not await view.is_provider(OWNER_ID + 1, REPOSITORY_ID)


async def test_a_service_that_moved_counts_where_it_is_now(view: CatalogView) -> None:
    await handle(view, 1, service())
    await handle(view, 2, subscription("s1"))
    await handle(view, 3, service(repository_id=5))
    assert await view.subscribers(OWNER_ID, REPOSITORY_ID, WORKFLOW, "deployment") == 0
    assert await view.subscribers(OWNER_ID, 5, WORKFLOW, "deployment") == 1


async def test_more_subscriptions_than_fit_on_a_page_are_counted(view: CatalogView) -> None:
    await handle(view, 1, service())
    await asyncio.gather(*(handle(view, 2 + n, subscription(f"s{n:04}")) for n in range(1203)))
    assert (await seen(view))[1] == 1203


async def test_racing_writers_leave_the_newest(view: CatalogView) -> None:
    changes: list[dict[str, Any]] = [{"enabled_as": []}, {}] * 4
    while True:
        pending = [
            (version, provider(**change))
            for version, change in enumerate(changes, start=1)
            if await view.seen.wait([f"catalog/{OWNER_ID}@{version}"], timeout_s=0)
        ]
        if not pending:
            break
        take = handlers(view)[type(pending[0][1])]
        await asyncio.gather(*(take(body, catalog_message(version, body)) for version, body in pending))
    assert await view.is_provider(OWNER_ID, REPOSITORY_ID)
