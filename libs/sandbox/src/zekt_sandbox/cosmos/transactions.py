"""Writes to one logical partition that become visible together, or not at all."""

import json
from typing import Any

from zekt_sandbox.cosmos.containers import Container
from zekt_sandbox.cosmos.errors import too_large
from zekt_sandbox.cosmos.partitions import Item, LogicalPartition

MAX_BYTES = 2 * 2**20
"""The most that an item, or all of a transactional batch, may take."""


class Transaction:
    """Staged writes, seen by later operations of the same transaction; without `commit` nothing happened."""

    def __init__(self, container: Container, partition: LogicalPartition) -> None:
        self.container = container
        self.partition = partition
        self._staged: dict[str, Item | None] = {}

    def find(self, item_id: str) -> Item | None:
        """The item as this transaction sees it."""
        if item_id in self._staged:
            return self._staged[item_id]
        return self.container.find(self.partition, item_id)

    def put(self, body: dict[str, Any], previous: Item | None) -> Item:
        """Stage a new version.

        Raises:
            CosmosError: 413, the item is too large.
        """
        item = self.container.draft(self.partition, body, previous)
        if len(item.text) > MAX_BYTES and _size_bytes(body) > MAX_BYTES:
            raise too_large()
        self._staged[item.id] = item
        return item

    def delete(self, item: Item) -> None:
        """Stage a deletion."""
        self._staged[item.id] = None

    def commit(self) -> None:
        """Store what was staged, under one LSN."""
        if self._staged:
            self.container.commit(self.partition, self._staged)


def _size_bytes(body: dict[str, Any]) -> int:
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return len(text.encode(errors="surrogatepass"))
