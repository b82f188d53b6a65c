import asyncio
from pathlib import Path
from typing import Any

import pytest

from zekt_common.adapters.embedded import Backend
from zekt_common.errors import KeyDestroyed


async def test_an_account_keeps_its_key(backend: Backend) -> None:
    key = await backend.keys.data_key(7)
    assert await backend.keys.data_key(7) == key
    assert len(key.secret) == 32


async def test_each_account_has_a_key_of_its_own(backend: Backend) -> None:
    keys = [await backend.keys.data_key(account_id) for account_id in (1, 2, 3)]
    assert len({key.id for key in keys}) == len({key.secret for key in keys}) == 3


async def test_racing_first_uses_get_one_key(backend: Backend) -> None:
    keys = await asyncio.gather(*(backend.keys.data_key(7) for _ in range(20)))
    assert len({key.secret for key in keys}) == 1


async def test_two_openings_racing_for_the_first_use_get_one_key(open_engine: Any, tmp_path: Path, clock: Any) -> None:
    async with open_engine(tmp_path, clock) as one, open_engine(tmp_path, clock) as other:
        first, second = await asyncio.gather(one.keys.data_key(7), other.keys.data_key(7))
        assert first == second


async def test_a_destroyed_key_never_comes_back(open_engine: Any, tmp_path: Path, clock: Any) -> None:
    async with open_engine(tmp_path, clock) as backend:
        await backend.keys.data_key(7)
        await backend.keys.destroy(7)
        await backend.keys.destroy(7)
        with pytest.raises(KeyDestroyed):
            await backend.keys.data_key(7)
    async with open_engine(tmp_path, clock) as backend:
        with pytest.raises(KeyDestroyed):
            await backend.keys.data_key(7)


async def test_an_account_that_never_had_a_key_can_be_destroyed(backend: Backend) -> None:
    await backend.keys.destroy(7)
    with pytest.raises(KeyDestroyed):
        await backend.keys.data_key(7)


async def test_destroying_one_key_leaves_the_others(backend: Backend) -> None:
    kept = await backend.keys.data_key(8)
    await backend.keys.data_key(7)
    await backend.keys.destroy(7)
    assert await backend.keys.data_key(8) == kept


async def test_keys_outlive_the_process(open_engine: Any, tmp_path: Path, clock: Any) -> None:
    async with open_engine(tmp_path, clock) as backend:
        key = await backend.keys.data_key(7)
    async with open_engine(tmp_path, clock) as backend:
        assert await backend.keys.data_key(7) == key


async def test_a_key_does_not_show_its_secret(backend: Backend) -> None:
    key = await backend.keys.data_key(7)
    assert repr(key) == f"DataKey(id={key.id!r})"
    assert key.secret.hex() not in str(key)
