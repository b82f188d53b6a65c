"""The data keys on Cosmos DB: wrapped under the master key, in a container of their own.

A destroyed key's item is overwritten at once. Cosmos DB's own backups hold it for as long as the account keeps them,
which is why the keys can lie in another account than the rest, one without continuous backup.
"""

import base64
import time
from collections.abc import Callable
from typing import Any

from zekt_common.adapters.cosmos_container import CosmosContainer
from zekt_common.adapters.key_wrapping import KeyCache, KeyWrapping
from zekt_common.ports.keys import DataKey


class CosmosKeys:
    """The `Keys` port over the container of keys.

    Keys in use are remembered for 30 s, which is how long another process's `destroy` may go unnoticed.
    """

    def __init__(
        self, container: CosmosContainer, master_key: bytes, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._container = container
        self._wrapping = KeyWrapping(master_key, container.name)
        self._cache = KeyCache(monotonic)

    async def data_key(self, account_id: int, /) -> DataKey:
        """Return the account's data key, making it on first use; see `Keys.data_key`."""
        cached = self._cache.get(account_id)
        if cached is not None:
            return cached
        id_ = str(account_id)
        item = await self._container.read(id_, id_)
        if item is None:
            item = await self._container.create_or_keep(id_, self._new(account_id))
        key = self._wrapping.unwrap(account_id, item["keyId"], base64.b64decode(item["wrapped"]))
        self._cache.put(account_id, key)
        return key

    async def destroy(self, account_id: int, /) -> None:
        """Overwrite the account's data key with nothing; see `Keys.destroy`."""
        await self._container.upsert({"id": str(account_id), "keyId": "", "wrapped": ""})
        self._cache.forget(account_id)

    def _new(self, account_id: int) -> dict[str, Any]:
        key_id, wrapped = self._wrapping.new(account_id)
        return {"id": str(account_id), "keyId": key_id, "wrapped": base64.b64encode(wrapped).decode()}
