"""The whole suite in the test's own process, where what it reports can be looked at."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.e2e.catalogs import catalog
from zekt_common.auth.operator import ensure_operator_token
from zekt_common.kit.host import Hosted


@asynccontextmanager
async def operating(hosted: Hosted, data_dir: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Yield an operator's session, once the catalog has been applied and ingress has heard of it."""
    operator = {"Authorization": f"Bearer {ensure_operator_token(data_dir)}"}
    async with aiohttp.ClientSession(headers=operator) as http:
        async with http.post(f"{hosted.url}/api/catalog/apply", json=catalog()) as answer:
            positions = (await answer.json())["positions"]
        waiting = {"eventIds": positions, "timeoutS": 30}
        async with http.post(f"{hosted.url}/api/operations/ingress/wait", json=waiting) as answer:
            assert answer.status == 200
        yield http


async def outcomes(http: aiohttp.ClientSession, url: str, count: int) -> list[dict[str, str]]:
    """Wait until so many deliveries were dispatched; the outcome is stored after the POST's span has ended."""
    found: list[dict[str, str]] = []
    cursor = ""
    while len(found) < count:
        query = {"type": "dev.zekt.delivery.dispatched", "wait_s": "20", "cursor": cursor}
        async with http.get(url, params=query) as answer:
            page = await answer.json()
        assert page["events"], "no outcome was stored"
        found += page["events"]
        cursor = page["cursor"]
    return found
