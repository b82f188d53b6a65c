import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest

from zekt_sandbox.entra import EntraSandbox, serving


@pytest.fixture
async def sandbox() -> AsyncIterator[EntraSandbox]:
    async with serving() as running:
        yield running


@pytest.fixture
async def http(sandbox: EntraSandbox) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that trusts the stand-in's CA, and nobody else's."""
    trusted = ssl.create_default_context(cafile=str(sandbox.ca_file))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted)) as session:
        yield session
