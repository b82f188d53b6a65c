from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from zekt_common.adapters.embedded import open_backend
from zekt_common.kit.errors import Refusal
from zekt_common.kit.rate_limit import MAX_KEYS, RateLimit
from zekt_ingress.admission import Admission
from zekt_ingress.catalog_view import CatalogView

from .conftest import OWNER_ID, REPOSITORY_ID, catalog_message, provider


@pytest.fixture
async def view(tmp_path: Path) -> AsyncIterator[CatalogView]:
    async with open_backend(tmp_path, "ingress") as backend:
        yield CatalogView(backend.views)


def admission(view: CatalogView, *, caught_up: bool) -> Admission:
    return Admission(view, caught_up=lambda: caught_up, rate_limit=RateLimit(per_s=1, burst=1))


async def test_until_the_catalog_is_known_an_unknown_repository_is_503_never_404(view: CatalogView) -> None:
    with pytest.raises(Refusal) as refused:
        await admission(view, caught_up=False).check_enabled(OWNER_ID, REPOSITORY_ID)
    assert refused.value.status == 503
    assert refused.value.headers["Retry-After"]


async def test_a_repository_known_from_before_need_not_wait_for_the_rest(view: CatalogView) -> None:
    await view.take(provider(), catalog_message(1, provider()))
    await admission(view, caught_up=False).check_enabled(OWNER_ID, REPOSITORY_ID)


async def test_an_unknown_repository_is_404_once_the_catalog_is_known(view: CatalogView) -> None:
    with pytest.raises(Refusal) as refused:
        await admission(view, caught_up=True).check_enabled(OWNER_ID, REPOSITORY_ID)
    assert refused.value.status == 404


def test_a_bucket_fills_again_with_time_and_not_beyond_its_size() -> None:
    now = 0.0
    limit = RateLimit(per_s=2, burst=3, monotonic=lambda: now)
    assert [limit.wait_s("a") for _ in range(4)] == [0, 0, 0, 1]
    assert limit.wait_s("b") == 0
    now = 0.5
    assert [limit.wait_s("a") for _ in range(2)] == [0, 1]
    now = 100.0
    assert [limit.wait_s("a") for _ in range(4)] == [0, 0, 0, 1]


def test_a_slow_limit_says_how_long_to_wait() -> None:
    limit = RateLimit(per_s=0.1, burst=1, monotonic=lambda: 0.0)
    assert [limit.wait_s("a") for _ in range(2)] == [0, 10]


def test_buckets_are_bounded_in_number() -> None:
    limit = RateLimit(per_s=0.001, burst=1, monotonic=lambda: 0.0)
    for key in range(MAX_KEYS + 1):
        assert limit.wait_s(key) == 0
    assert limit.wait_s(MAX_KEYS) > 0
    assert limit.wait_s(0) == 0
