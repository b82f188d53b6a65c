import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import quote

import aiohttp
import pytest
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError

from zekt_sandbox.cosmos import CosmosSandbox, serving

OTHER_KEY = base64.b64encode(b"another key").decode()


def signed(key: str, dated: datetime) -> dict[str, str]:
    """The headers of a signed GET of the database zekt."""
    date = format_datetime(dated, usegmt=True)
    text = f"get\ndbs\ndbs/zekt\n{date.lower()}\n\n"
    signature = base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), hashlib.sha256)).decode()
    return {"x-ms-date": date, "authorization": quote(f"type=master&ver=1.0&sig={signature}", safe="")}


async def status(sandbox: CosmosSandbox, headers: dict[str, str]) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{sandbox.url}/dbs/zekt", headers=headers) as answer:
        return answer.status


async def test_the_wrong_key_is_refused(sandbox: CosmosSandbox) -> None:
    client = CosmosClient(sandbox.url, credential=OTHER_KEY)
    with pytest.raises(CosmosHttpResponseError, match="wrong key") as refused:
        await client.create_database("zekt")
    await client.close()
    assert refused.value.status_code == 401


async def test_a_key_of_ones_own_is_taken() -> None:
    async with serving(key=OTHER_KEY) as sandbox, CosmosClient(sandbox.url, credential=OTHER_KEY) as client:
        assert sandbox.key == OTHER_KEY
        assert [found async for found in client.list_databases()] == []


@pytest.mark.usefixtures("container")
@pytest.mark.parametrize(("late_s", "expected"), [(0, 200), (890, 200), (-890, 200), (910, 403), (-910, 403)])
async def test_a_signature_holds_for_fifteen_minutes(sandbox: CosmosSandbox, late_s: int, expected: int) -> None:
    dated = datetime.now(UTC) - timedelta(seconds=late_s)
    assert await status(sandbox, signed(sandbox.key, dated)) == expected


@pytest.mark.usefixtures("container")
async def test_no_unknown_or_altered_authorization_is_taken(sandbox: CosmosSandbox) -> None:
    good = signed(sandbox.key, datetime.now(UTC))
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=5), usegmt=True)
    undated = {"authorization": good["authorization"]}
    for headers in ({}, undated, {**good, "x-ms-date": later}, {**good, "authorization": "type%3Dresource%26sig%3Dx"}):
        assert await status(sandbox, headers) == 401


async def test_a_refused_write_is_not_done(container: ContainerProxy, sandbox: CosmosSandbox) -> None:
    link = f"{sandbox.url}/dbs/zekt/colls/events/docs"
    headers = {"x-ms-documentdb-partitionkey": '["a"]'}
    async with aiohttp.ClientSession() as session, session.post(link, json={"id": "1", "stream": "a"}, headers=headers):
        pass
    assert [item async for item in container.query_items("SELECT * FROM c", partition_key="a")] == []
