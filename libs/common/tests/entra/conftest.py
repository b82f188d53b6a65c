import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest

from zekt_common.auth.entra_settings import EntraTenant
from zekt_sandbox.entra import EntraSandbox, serving


@pytest.fixture
async def sandbox() -> AsyncIterator[EntraSandbox]:
    async with serving() as running:
        yield running


@pytest.fixture
def tenant(sandbox: EntraSandbox) -> EntraTenant:
    """The stand-in, as settings name it."""
    return EntraTenant(
        tenant_id=sandbox.tenant_id,
        audience=f"api://{sandbox.api_id}",
        authority=sandbox.url,
        ca_file=str(sandbox.ca_file),
    )


@pytest.fixture
async def trusting(tenant: EntraTenant) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that trusts the stand-in's CA."""
    trusted = ssl.create_default_context(cafile=tenant.ca_file)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted)) as http:
        yield http
