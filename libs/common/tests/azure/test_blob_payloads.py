import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.ports import free_port
from zekt_common.adapters.blob_container import BLOCK_BYTES, CONTAINER, LIFECYCLE_POLICY, BlobConnection, BlobContainer
from zekt_common.adapters.blob_payloads import BlobPayloads
from zekt_common.adapters.embedded import open_backend
from zekt_common.errors import BackendUnavailable, PayloadNotFound
from zekt_common.ports import Keys
from zekt_common.ports.payloads import RETENTION
from zekt_sandbox.azurite import Azurite

ROOT = Path(__file__).parents[4]


class ManualClock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def keys(tmp_path: Path) -> AsyncIterator[Keys]:
    async with open_backend(tmp_path, "ingress") as backend:
        yield backend.keys


@pytest.fixture
async def container(azurite: Azurite) -> AsyncIterator[BlobContainer]:
    connection = BlobConnection(connection_string=azurite.connection_string)
    async with BlobContainer(connection) as opened:
        await opened.ensure()
        yield opened


@pytest.fixture
def account() -> int:
    """An account of the test's own: the emulator is shared."""
    return secrets.randbelow(2**53)


async def test_what_is_stored_does_not_show_what_it_holds(container: BlobContainer, keys: Keys, account: int) -> None:
    ref = await BlobPayloads(container, keys).put(account, b"ghs_abc" * 1000)
    found = await container.read(f"{account}/{ref.sha256}")
    assert found is not None
    assert b"ghs_abc" not in found[1]
    assert len(found[1]) < 200


async def test_a_changed_blob_is_damaged_and_so_is_one_of_another_place(
    container: BlobContainer, keys: Keys, account: int
) -> None:
    payloads = BlobPayloads(container, keys)
    ref = await payloads.put(account, b"one")
    other = "0" * 64
    found = await container.read(f"{account}/{ref.sha256}")
    assert found is not None
    await container.create(f"{account}/{other}", found[1], found[0].expires_at)
    with pytest.raises(PayloadNotFound, match="damaged"):
        await payloads.get(account, other)


async def test_racing_puts_of_one_payload_keep_the_longest_expiry(
    container: BlobContainer, keys: Keys, account: int
) -> None:
    clock = ManualClock()
    payloads = BlobPayloads(container, keys, clock=clock)
    refs = await asyncio.gather(*(payloads.put(account, b"x", retention=timedelta(days=1 + n % 8)) for n in range(24)))
    longest = clock() + timedelta(days=8)
    assert max(ref.expires_at for ref in refs) == longest
    assert (await payloads.put(account, b"x", retention=timedelta(days=1))).expires_at == longest


async def test_a_body_of_several_blocks_is_stored_once(container: BlobContainer, keys: Keys, account: int) -> None:
    content = secrets.token_bytes(3 * BLOCK_BYTES + 1)
    payloads = BlobPayloads(container, keys)
    first, second = await asyncio.gather(payloads.put(account, content), payloads.put(account, content))
    assert first.sha256 == second.sha256
    assert await payloads.get(account, first.sha256) == content


async def test_a_blob_extended_since_it_was_listed_survives_the_purge(
    container: BlobContainer, keys: Keys, account: int
) -> None:
    payloads = BlobPayloads(container, keys)
    ref = await payloads.put(account, b"x", retention=timedelta(days=1))
    listed = await container.find(f"{account}/{ref.sha256}")
    assert listed is not None
    await payloads.put(account, b"x", retention=timedelta(days=2))
    assert not await container.delete(listed)
    assert await payloads.get(account, ref.sha256) == b"x"


async def test_the_storage_account_deletes_nothing_before_it_expires(
    container: BlobContainer, keys: Keys, account: int
) -> None:
    (rule,) = LIFECYCLE_POLICY["rules"]
    assert rule["definition"] == {
        "filters": {"blobTypes": ["blockBlob"], "prefixMatch": [f"{CONTAINER}/"]},
        "actions": {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": RETENTION.days}}},
    }
    with pytest.raises(ValueError, match="90 days at most"):
        await BlobPayloads(container, keys).put(account, b"x", retention=RETENTION + timedelta(seconds=1))


async def test_the_documented_lifecycle_rule_is_the_one_that_is_proven() -> None:
    documented = (ROOT / "docs/azure.md").read_text().partition("```json")[2].partition("```")[0]
    assert json.loads(documented) == LIFECYCLE_POLICY


async def test_a_reference_is_what_a_put_returns(container: BlobContainer, keys: Keys, account: int) -> None:
    payloads = BlobPayloads(container, keys, clock=ManualClock())
    reference = await payloads.reference(account, b"x")
    assert reference == await payloads.put(account, b"x")


async def test_a_wrong_key_is_refused_by_name_and_without_the_key(azurite: Azurite, keys: Keys) -> None:
    wrong = azurite.connection_string.replace(azurite.key, "d3Jvbmc=")
    async with BlobContainer(BlobConnection(connection_string=wrong)) as container:
        with pytest.raises(BackendUnavailable, match=r"ZEKT_BLOB_CONNECTION: 127.* refuses us.*403") as refused:
            await BlobPayloads(container, keys).put(7, b"x")
    assert "d3Jvbmc" not in str(refused.value)


async def test_a_missing_container_is_not_a_missing_payload(azurite: Azurite, keys: Keys) -> None:
    connection = BlobConnection(connection_string=azurite.connection_string)
    async with BlobContainer(connection, name="absent") as container:
        payloads = BlobPayloads(container, keys)
        for attempt in (payloads.put(7, b"x"), payloads.get(7, "0" * 64), container.check()):
            with pytest.raises(BackendUnavailable, match=r"no container absent .*zekt provision"):
                await attempt


async def test_an_unreachable_account_is_named() -> None:
    connection = BlobConnection(url=f"http://127.0.0.1:{free_port()}/zekt")
    async with BlobContainer(connection) as container:
        with pytest.raises(BackendUnavailable, match=r"ZEKT_BLOB_URL: 127\.0\.0\.1:.* cannot be reached"):
            await container.check()
