"""The `Keys` port: records of wrapped keys, opened by the master key and remembered for a while."""

import asyncio
import secrets
import time
from collections.abc import Callable

import msgspec

from zekt_common.adapters.key_cache import KeyCache
from zekt_common.adapters.key_wrapping import KEY_BYTES, KeyRecords, MasterKey, WrappedKey, WrongMasterKey
from zekt_common.errors import KeyDestroyed, StorageUnusable
from zekt_common.ports.keys import DataKey


class WrappedKeys:
    """Callers who want the same key at once share one look at the store and at the master key.

    Another process's `destroy` may go unnoticed for 30 s.
    """

    def __init__(
        self, records: KeyRecords, master: MasterKey, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._records = records
        self._master = master
        self._cache = KeyCache(monotonic)
        self._loading: dict[int, asyncio.Task[DataKey]] = {}

    async def data_key(self, account_id: int, /) -> DataKey:
        """Return the account's data key, making it on first use; see `Keys.data_key`."""
        fresh = self._cache.fresh(account_id)
        if fresh is not None:
            return fresh
        loading = self._loading.get(account_id)
        if loading is None:
            loading = self._loading[account_id] = asyncio.create_task(self._load(account_id))
            loading.add_done_callback(lambda task: self._end_loading(account_id, task))
        return await asyncio.shield(loading)

    async def destroy(self, account_id: int, /) -> None:
        """Destroy the account's data key; see `Keys.destroy`."""
        await self._records.destroy(account_id)
        self._loading.pop(account_id, None)
        self._cache.forget(account_id)
        await self._records.forget_replaced()

    async def _load(self, account_id: int) -> DataKey:
        record = await self._records.find(account_id) or await self._records.add(await self._new(account_id))
        if record.is_destroyed:
            self._cache.forget(account_id)
            raise KeyDestroyed(f"the data key of account {account_id} was destroyed")
        confirmed = self._cache.confirmed(account_id, record.key_id)
        if confirmed is not None:
            return confirmed
        key = DataKey(record.key_id, await self._unwrapped(record))
        if self._loading.get(account_id) is asyncio.current_task():  # not destroyed here meanwhile
            self._cache.put(account_id, key)
        return key

    async def _new(self, account_id: int) -> WrappedKey:
        record = WrappedKey(account_id, secrets.token_hex(8), b"")
        generation, wrapped = await self._master.wrap(secrets.token_bytes(KEY_BYTES), record.binding)
        return msgspec.structs.replace(record, generation=generation, wrapped=wrapped)

    async def _unwrapped(self, record: WrappedKey) -> bytes:
        try:
            return await self._master.unwrap(record.generation, record.wrapped, record.binding)
        except WrongMasterKey as error:
            place = self._records.place
            raise StorageUnusable(f"{place} was written under another master key ({error}): restore that one") from None

    def _end_loading(self, account_id: int, task: asyncio.Task[DataKey]) -> None:
        if self._loading.get(account_id) is task:
            del self._loading[account_id]
