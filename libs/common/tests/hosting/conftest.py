"""One service to host, and a client."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from libs.common.tests.hosting.stage import Stage


@pytest.fixture
def stage() -> Stage:
    made = Stage()
    made.may_open.set()
    return made


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
