"""The wrapped data keys on Cosmos DB, in a container of their own.

A destroyed key's item is overwritten at once. Cosmos DB's own backups hold it for as long as the account keeps them,
which is why the keys can lie in another account than the rest, one without continuous backup.
"""

import base64
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from zekt_common.adapters.cosmos_container import CosmosContainer, Item
from zekt_common.adapters.cosmos_errors import CHANGED, FOUND_NOT, CosmosRefused
from zekt_common.adapters.key_wrapping import WrappedKey

PAGE: Final = 500
_HELD: Final = "SELECT c.id, c.keyId, c.wrapped, c.generation, c._etag FROM c WHERE c.keyId != ''"


class CosmosKeyRecords:
    """`KeyRecords` in the container of keys, one item for each account."""

    def __init__(self, container: CosmosContainer) -> None:
        self._container = container

    @property
    def place(self) -> str:
        """The container's name."""
        return self._container.name

    async def find(self, account_id: int, /) -> WrappedKey | None:
        """Read the account's item; see `KeyRecords.find`."""
        item = await self._container.read(str(account_id), str(account_id))
        return None if item is None else record_of(item)

    async def add(self, record: WrappedKey, /) -> WrappedKey:
        """Create the item unless there is one; see `KeyRecords.add`."""
        return record_of(await self._container.create_or_keep(str(record.account_id), item_of(record)))

    async def replace(self, known: WrappedKey, record: WrappedKey, /) -> bool:
        """Replace that revision of the item; see `KeyRecords.replace`.

        Of a replacement whose answer was lost this may say False, although it took place.
        """
        try:
            await self._container.replace(item_of(record), known.revision)
        except CosmosRefused as refused:
            if refused.status in (CHANGED, FOUND_NOT):
                return False
            raise
        return True

    async def destroy(self, account_id: int, /) -> None:
        """Overwrite the item, whatever is there; see `KeyRecords.destroy`."""
        await self._container.upsert(item_of(WrappedKey(account_id, "", b"")))

    async def under_others(self, generation: str, /) -> AsyncIterator[WrappedKey]:
        """Read page by page, in no order; see `KeyRecords.under_others`."""
        async for item in self._held():
            record = record_of(item)
            if record.generation != generation:
                yield record

    async def counts(self) -> Mapping[str, int]:
        """Read all and count; see `KeyRecords.counts`."""
        return Counter([item.get("generation", "") async for item in self._held()])

    async def forget_replaced(self) -> None:
        """Leave it to the account's backups to expire; see `KeyRecords.forget_replaced`."""

    async def _held(self) -> AsyncIterator[Item]:
        async for item in self._container.scan(_HELD, page=PAGE):
            yield item


def record_of(item: Item) -> WrappedKey:
    """Return the record that an item holds."""
    return WrappedKey(
        account_id=int(item["id"]),
        key_id=item["keyId"],
        wrapped=base64.b64decode(item["wrapped"]),
        generation=item.get("generation", ""),
        revision=item["_etag"],
    )


def item_of(record: WrappedKey) -> dict[str, Any]:
    """Return the item that holds a record."""
    return {
        "id": str(record.account_id),
        "keyId": record.key_id,
        "wrapped": base64.b64encode(record.wrapped).decode(),
        "generation": record.generation,
    }
