"""The data keys on Cosmos DB: wrapped under the master key, in a container of their own.

A destroyed key's item is overwritten at once. Cosmos DB's own backups hold it for as long as the account keeps them,
which is why the keys can lie in another account than the rest, one without continuous backup.
"""

import base64
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from zekt_common.adapters.cosmos_container import CosmosContainer, Item
from zekt_common.errors import KeyDestroyed, StorageUnusable
from zekt_common.ports.keys import DataKey

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
CACHE_S: Final = 30.0
CACHED_KEYS: Final = 4096


class CosmosKeys:
    """The `Keys` port over the container of keys.

    Keys in use are remembered for 30 s, which is how long another process's `destroy` may go unnoticed.
    """

    def __init__(
        self, container: CosmosContainer, master_key: bytes, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._container = container
        self._master = AESGCM(master_key)
        self._monotonic = monotonic
        self._cache: OrderedDict[int, tuple[float, DataKey]] = OrderedDict()

    async def data_key(self, account_id: int, /) -> DataKey:
        """Return the account's data key, making it on first use; see `Keys.data_key`."""
        cached = self._cache.get(account_id)
        if cached and self._monotonic() - cached[0] < CACHE_S:
            return cached[1]
        id_ = str(account_id)
        item = await self._container.read(id_, id_)
        if item is None:
            item = await self._container.create_or_keep(id_, self._new(account_id))
        key = self._unwrap(account_id, item)
        self._remember(account_id, key)
        return key

    async def destroy(self, account_id: int, /) -> None:
        """Overwrite the account's data key with nothing; see `Keys.destroy`."""
        await self._container.upsert({"id": str(account_id), "keyId": "", "wrapped": ""})
        self._cache.pop(account_id, None)

    def _remember(self, account_id: int, key: DataKey) -> None:
        self._cache[account_id] = (self._monotonic(), key)
        self._cache.move_to_end(account_id)
        if len(self._cache) > CACHED_KEYS:
            self._cache.popitem(last=False)

    def _new(self, account_id: int) -> dict[str, Any]:
        key_id, nonce = secrets.token_hex(8), secrets.token_bytes(NONCE_BYTES)
        wrapped = self._master.encrypt(nonce, secrets.token_bytes(KEY_BYTES), _bound_to(account_id, key_id))
        return {"id": str(account_id), "keyId": key_id, "wrapped": base64.b64encode(nonce + wrapped).decode()}

    def _unwrap(self, account_id: int, item: Item) -> DataKey:
        key_id = item["keyId"]
        if not key_id:
            raise KeyDestroyed(f"the data key of account {account_id} was destroyed")
        stored = base64.b64decode(item["wrapped"])
        nonce, wrapped = stored[:NONCE_BYTES], stored[NONCE_BYTES:]
        try:
            return DataKey(key_id, self._master.decrypt(nonce, wrapped, _bound_to(account_id, key_id)))
        except InvalidTag:
            name = self._container.name
            raise StorageUnusable(f"{name} was written under another master key: restore that key") from None


def _bound_to(account_id: int, key_id: str) -> bytes:
    return f"zekt data key {account_id} {key_id}".encode()
