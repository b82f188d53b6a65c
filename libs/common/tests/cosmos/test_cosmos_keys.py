"""What the container of keys holds, and what a destroyed key leaves behind."""

import pytest

from zekt_common.adapters.cosmos_client import CosmosDatabase
from zekt_common.adapters.cosmos_keys import CosmosKeys
from zekt_common.adapters.cosmos_topology import KEYS
from zekt_common.adapters.key_wrapping import CACHE_S
from zekt_common.errors import KeyDestroyed, StorageUnusable

MASTER_KEY = bytes(range(32))


async def test_a_key_is_stored_under_the_master_key_alone(database: CosmosDatabase) -> None:
    container = database.container(KEYS)
    key = await CosmosKeys(container, MASTER_KEY).data_key(7)
    item = await container.read("7", "7")
    assert item is not None
    assert key.secret.hex() not in str(item)
    with pytest.raises(StorageUnusable, match="another master key"):
        await CosmosKeys(container, bytes(32)).data_key(7)


async def test_a_key_moved_to_another_account_does_not_open(database: CosmosDatabase) -> None:
    container = database.container(KEYS)
    await CosmosKeys(container, MASTER_KEY).data_key(7)
    item = await container.read("7", "7")
    assert item is not None
    await container.upsert({"id": "8", "keyId": item["keyId"], "wrapped": item["wrapped"]})
    with pytest.raises(StorageUnusable):
        await CosmosKeys(container, MASTER_KEY).data_key(8)


async def test_nothing_of_a_destroyed_key_is_left_in_its_item(database: CosmosDatabase) -> None:
    container = database.container(KEYS)
    keys = CosmosKeys(container, MASTER_KEY)
    await keys.data_key(7)
    await keys.destroy(7)
    item = await container.read("7", "7")
    assert item is not None
    assert (item["keyId"], item["wrapped"]) == ("", "")


async def test_another_process_notices_a_destroyed_key_within_its_memory(database: CosmosDatabase) -> None:
    now = 0.0
    container = database.container(KEYS)
    other = CosmosKeys(container, MASTER_KEY, monotonic=lambda: now)
    await other.data_key(7)
    await CosmosKeys(container, MASTER_KEY).destroy(7)
    now = CACHE_S
    with pytest.raises(KeyDestroyed):
        await other.data_key(7)
