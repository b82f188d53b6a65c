"""Which items a query or feed ranges over, told from its headers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zekt_sandbox.cosmos.containers import Container
from zekt_sandbox.cosmos.errors import bad_request, range_gone
from zekt_sandbox.cosmos.partitions import END_OF_KEYS, FIRST_KEY, Item, KeyRange, LogicalPartition

_MAX_KEY_BYTES = 2048


@dataclass(slots=True)
class Scope:
    """A logical partition, a key range or part of one, or the whole container."""

    container: Container
    key_range: KeyRange | None
    partition: LogicalPartition | None
    low: str
    high: str

    @classmethod
    def read(cls, container: Container, headers: Mapping[str, str]) -> "Scope":
        """The scope that a request's headers give.

        Raises:
            CosmosError: 410, the named key range was split.
        """
        named = headers.get("x-ms-documentdb-partitionkeyrangeid")
        key_range = None if named is None else container.range_by_id(named)
        partition = None
        if "x-ms-documentdb-partitionkey" in headers:
            partition = container.partition(partition_key(headers))
            key_range = container.range_of(partition.hashed)
        low = headers.get("x-ms-start-epk", key_range.low if key_range else FIRST_KEY)
        high = headers.get("x-ms-end-epk", key_range.high if key_range else END_OF_KEYS)
        return cls(container, key_range, partition, low, high)

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells this scope from others of the container."""
        return (self.partition.hashed if self.partition else None, self.low, self.high)

    def holds(self, item: Item) -> bool:
        """Whether the item is in the scope."""
        if self.partition is not None:
            return item.partition is self.partition
        return self.low <= item.partition.hashed < self.high

    def items(self) -> list[Item]:
        """The scope's items in order of creation."""
        if self.partition is not None:
            return self.container.items_of(self.partition)
        return self.container.items_between(*self._clipped())

    def single_range(self) -> KeyRange:
        """The one key range the scope is in.

        Raises:
            CosmosError: 410, there are several.
        """
        if self.key_range is not None:
            return self.key_range
        if len(self.container.ranges) > 1:
            raise range_gone()
        return self.container.ranges[0]

    def _clipped(self) -> tuple[str, str]:
        if self.key_range is None:
            return self.low, self.high
        return max(self.low, self.key_range.low), min(self.high, self.key_range.high)


def partition_key(headers: Mapping[str, str]) -> Any:
    """The partition key's value; undefined is the empty object.

    Raises:
        CosmosError: 400, it is missing, malformed or too long.
    """
    try:
        [value] = json.loads(headers["x-ms-documentdb-partitionkey"])
    except KeyError:
        raise bad_request("PartitionKey value must be supplied for this operation.") from None
    except (TypeError, ValueError):
        raise bad_request("Partition key provided doesn't correspond to definition in the collection", 1001) from None
    if isinstance(value, str) and len(value.encode()) > _MAX_KEY_BYTES:
        raise bad_request("The partition key supplied is longer than 2048 bytes.")
    return value
