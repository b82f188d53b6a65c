"""What the container of keys holds, and what a destroyed key leaves behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zekt_common.adapters.cosmos_client import CosmosDatabase
from zekt_common.adapters.cosmos_container import CosmosContainer
from zekt_common.adapters.cosmos_keys import CosmosKeyRecords
from zekt_common.adapters.cosmos_topology import KEYS
from zekt_common.adapters.key_cache import FRESH_S
from zekt_common.adapters.master_key_file import FileMasterKey, ensure_key_file
from zekt_common.adapters.wrapped_keys import WrappedKeys
from zekt_common.errors import KeyDestroyed, StorageUnusable


@pytest.fixture
def keys_in(tmp_path: Path) -> Callable[..., WrappedKeys]:
    def opened(container: CosmosContainer, name: str = "master.key", **options: Any) -> WrappedKeys:
        ensure_key_file(tmp_path / name)
        return WrappedKeys(CosmosKeyRecords(container), FileMasterKey(tmp_path / name), **options)

    return opened


async def test_a_key_is_stored_under_the_master_key_alone(
    database: CosmosDatabase, keys_in: Callable[..., WrappedKeys]
) -> None:
    container = database.container(KEYS)
    key = await keys_in(container).data_key(7)
    item = await container.read("7", "7")
    assert item is not None
    assert key.secret.hex() not in str(item)
    with pytest.raises(StorageUnusable, match="another master key"):
        await keys_in(container, "another.key").data_key(7)


async def test_a_key_moved_to_another_account_does_not_open(
    database: CosmosDatabase, keys_in: Callable[..., WrappedKeys]
) -> None:
    container = database.container(KEYS)
    await keys_in(container).data_key(7)
    item = await container.read("7", "7")
    assert item is not None
    await container.upsert({"id": "8", "keyId": item["keyId"], "wrapped": item["wrapped"]})
    with pytest.raises(StorageUnusable):
        await keys_in(container).data_key(8)


async def test_nothing_of_a_destroyed_key_is_left_in_its_item(
    database: CosmosDatabase, keys_in: Callable[..., WrappedKeys]
) -> None:
    container = database.container(KEYS)
    keys = keys_in(container)
    await keys.data_key(7)
    await keys.destroy(7)
    item = await container.read("7", "7")
    assert item is not None
    assert (item["keyId"], item["wrapped"]) == ("", "")


async def test_another_process_notices_a_destroyed_key_within_its_memory(
    database: CosmosDatabase, keys_in: Callable[..., WrappedKeys]
) -> None:
    now = 0.0
    container = database.container(KEYS)
    other = keys_in(container, monotonic=lambda: now)
    await other.data_key(7)
    await keys_in(container).destroy(7)
    now = FRESH_S
    with pytest.raises(KeyDestroyed):
        await other.data_key(7)
