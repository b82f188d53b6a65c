"""A container: its properties, its key ranges and the items in them."""

import bisect
import itertools
from collections.abc import Iterator
from typing import Any

from zekt_sandbox.cosmos.clock import Clock
from zekt_sandbox.cosmos.encoding import encode
from zekt_sandbox.cosmos.errors import InvalidControlError, bad_request, range_gone
from zekt_sandbox.cosmos.partitions import Item, KeyRange, LogicalPartition, even_ranges
from zekt_sandbox.cosmos.resource_ids import new_etag, resource_id

_NEVER = -1
_DEFAULT_INDEXING = {
    "indexingMode": "consistent",
    "automatic": True,
    "includedPaths": [{"path": "/*"}],
    "excludedPaths": [{"path": '/"_etag"/?'}],
}
_UNDEFINED: dict[str, Any] = {}
_UNSUPPORTED = ("uniqueKeyPolicy", "vectorEmbeddingPolicy", "changeFeedPolicy")


class Container:
    """Items by partition key and id; `changes` counts everything that could alter a query's result."""

    def __init__(
        self, path: str, numbers: tuple[int, int], definition: dict[str, Any], *, clock: Clock, range_count: int
    ) -> None:
        _refuse_unsupported(definition)
        self.path = path
        self.rid = resource_id(*numbers)
        self.link = f"dbs/{resource_id(numbers[0])}/colls/{self.rid}/"
        self.ranges = even_ranges(range_count)
        self.generation = 1
        self.changes = 0
        self.results: dict[Any, Any] = {}
        self.clock = clock
        self._numbers = numbers
        self._item_numbers = itertools.count(1)
        self._next_range = range_count
        self._partitions: dict[str, LogicalPartition] = {}
        self._key_path = definition["partitionKey"]["paths"][0].strip("/").split("/")
        own = {"_rid": self.rid, "_self": self.link, "_etag": new_etag(), "_ts": int(clock.now())}
        self.properties = {"indexingPolicy": _DEFAULT_INDEXING, **definition, **own}

    def replace(self, definition: dict[str, Any]) -> None:
        """Take a new indexing policy or default TTL.

        Raises:
            CosmosError: 400, the id or partition key would change.
        """
        _refuse_unsupported(definition)
        for fixed in ("id", "partitionKey"):
            if _essence(definition.get(fixed)) != _essence(self.properties[fixed]):
                raise bad_request(f"The property '{fixed}' of a container cannot be changed.")
        own = {name: value for name, value in self.properties.items() if name.startswith("_")}
        self.properties = {**definition, **own, "_etag": new_etag(), "_ts": int(self.clock.now())}
        self.changes += 1

    def partition_key_of(self, body: dict[str, Any]) -> Any:
        """The value at the partition key's path; undefined is the empty object, as in the header."""
        value: Any = body
        for step in self._key_path:
            value = value.get(step, _UNDEFINED) if isinstance(value, dict) else _UNDEFINED
        return value

    def partition(self, value: Any) -> LogicalPartition:
        """The logical partition of a key's value, which is kept from its first write on."""
        return self._partitions.get(encode(value)) or LogicalPartition(value)

    def range_of(self, hashed: str) -> KeyRange:
        """The key range that holds a hashed key now."""
        return self.ranges[bisect.bisect_right(self.ranges, hashed, key=lambda held: held.low) - 1]

    def range_by_id(self, range_id: str) -> KeyRange:
        """The key range with this id.

        Raises:
            CosmosError: 410, it was split or never existed.
        """
        for key_range in self.ranges:
            if key_range.id == range_id:
                return key_range
        raise range_gone()

    def find(self, partition: LogicalPartition, item_id: str) -> Item | None:
        """The item, unless it is missing or expired."""
        item = partition.items.get(item_id)
        if item is not None and self.is_expired(item):
            self._purge(item)
            return None
        return item

    def is_expired(self, item: Item) -> bool:
        """Whether the item's time to live, its own or the container's, is over."""
        default = self.properties.get("defaultTtl")
        if default is None:
            return False
        ttl_s = item.body.get("ttl", default)
        return ttl_s not in (None, _NEVER) and self.clock.now() >= item.ts + ttl_s

    def items_of(self, partition: LogicalPartition) -> list[Item]:
        """The partition's items in order of creation."""
        return [item for item in partition.items.values() if not self.is_expired(item)]

    def items_between(self, low: str, high: str) -> list[Item]:
        """The items whose hashed keys are in [low, high), in order of creation."""
        held = (part for part in self._partitions.values() if low <= part.hashed < high)
        return sorted((item for part in held for item in self.items_of(part)), key=lambda item: item.number)

    def draft(self, partition: LogicalPartition, body: dict[str, Any], previous: Item | None) -> Item:
        """A new version with the service's own properties, not stored yet."""
        number = previous.number if previous else next(self._item_numbers)
        rid = resource_id(*self._numbers, number)
        ts = int(self.clock.now())
        own = {"_rid": rid, "_self": f"{self.link}docs/{rid}/", "_etag": new_etag(), "_ts": ts}
        full = {**body, **own, "_attachments": "attachments/"}
        return Item(full, encode(full), partition, number, ts)

    def commit(self, partition: LogicalPartition, written: dict[str, Item | None]) -> None:
        """Make all writes visible at once, under one LSN; None deletes."""
        partition = self._partitions.setdefault(encode(partition.value), partition)
        key_range = self.range_of(partition.hashed)
        key_range.lsn += 1
        self.changes += 1
        for item_id, item in written.items():
            previous = partition.items.get(item_id)
            if previous is not None:
                key_range.supersede(previous)
            if item is None:
                partition.items.pop(item_id, None)
            else:
                item.lsn = key_range.lsn
                partition.items[item_id] = item
                key_range.log.append(item)

    def split(self, range_id: str | None = None) -> tuple[str, str]:
        """Split a key range, the widest unless named; the new ranges' ids.

        Raises:
            InvalidControlError: no range has this id.
        """
        parent = self._widest() if range_id is None else next((r for r in self.ranges if r.id == range_id), None)
        if parent is None:
            raise InvalidControlError(f"no key range {range_id!r}; there are {[held.id for held in self.ranges]}")
        halves = parent.halves(self._next_range)
        where = self.ranges.index(parent)
        self.ranges[where : where + 1] = halves
        self._next_range += len(halves)
        self.generation += 1
        return halves[0].id, halves[1].id

    def _widest(self) -> KeyRange:
        return max(self.ranges, key=lambda held: held.width)

    def _purge(self, item: Item) -> None:
        del item.partition.items[item.id]
        self.range_of(item.partition.hashed).supersede(item)
        self.changes += 1


def _essence(value: Any) -> Any:
    return value["paths"] if isinstance(value, dict) else value


def _refuse_unsupported(definition: dict[str, Any]) -> None:
    key = definition.get("partitionKey") or {}
    if len(key.get("paths", ())) != 1 or key.get("version", 1) != 2:  # noqa: PLR2004  the scheme's version
        raise bad_request("this stand-in has containers with one partition key path, version 2")
    for name in _unsupported_in(definition):
        raise bad_request(f"this stand-in has no {name}")


def _unsupported_in(definition: dict[str, Any]) -> Iterator[str]:
    return (name for name in _UNSUPPORTED if definition.get(name))
