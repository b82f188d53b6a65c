"""Items, the logical partitions that hold them and the key ranges (physical partitions) that hold those."""

from dataclasses import dataclass, field
from typing import Any

from zekt_sandbox.cosmos.partition_hash import effective_partition_key

FIRST_KEY, END_OF_KEYS = "", "FF"
_KEY_SPACE = 0x40000000  # the hash's two highest bits are always zero
_KEY_DIGITS = 8
_KEPT_SUPERSEDED = 1000


class LogicalPartition:
    """All items of one partition key's value, in order of creation."""

    __slots__ = ("hashed", "items", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.hashed = effective_partition_key(value)
        self.items: dict[str, Item] = {}


@dataclass(slots=True, eq=False)
class Item:
    """One version of one item; `text` is `body` as JSON, ready to be answered."""

    body: dict[str, Any]
    text: str
    partition: LogicalPartition
    number: int
    ts: int
    lsn: int = 0
    superseded: bool = False

    @property
    def id(self) -> str:
        """The item's id, unique in its logical partition."""
        return str(self.body["id"])

    @property
    def etag(self) -> str:
        """The version's ETag, quotes included."""
        return str(self.body["_etag"])


@dataclass(slots=True, eq=False)
class KeyRange:
    """An interval of hashed keys with its own sequence of commits (`lsn`) and the log of what they wrote."""

    id: str
    low: str
    high: str
    lsn: int = 0
    parents: tuple[str, ...] = ()
    log: list[Item] = field(default_factory=list)
    _superseded: int = 0

    def supersede(self, item: Item) -> None:
        """Take a version out of the feed; the log shrinks once mostly such versions are left in it."""
        item.superseded = True
        self._superseded += 1
        if self._superseded > _KEPT_SUPERSEDED and self._superseded * 2 > len(self.log):
            self.log = [kept for kept in self.log if not kept.superseded]
            self._superseded = 0

    @property
    def width(self) -> int:
        """How much of the key space the range covers."""
        return _position(self.high) - _position(self.low)

    def halves(self, next_id: int) -> tuple["KeyRange", "KeyRange"]:
        """The two ranges of a split; both go on from this one's sequence and log."""
        middle = f"{(_position(self.low) + _position(self.high)) // 2:0{_KEY_DIGITS}X}"
        parents = (*self.parents, self.id)
        lower = KeyRange(str(next_id), self.low, middle, self.lsn, parents)
        upper = KeyRange(str(next_id + 1), middle, self.high, self.lsn, parents)
        for item in self.log:
            (lower if item.partition.hashed < middle else upper).log.append(item)
        return lower, upper


def even_ranges(count: int) -> list[KeyRange]:
    """The whole key space in `count` ranges of one size."""
    inner = [f"{_KEY_SPACE * index // count:0{_KEY_DIGITS}X}" for index in range(1, count)]
    edges = [FIRST_KEY, *inner, END_OF_KEYS]
    return [KeyRange(str(index), low, edges[index + 1]) for index, low in enumerate(edges[:-1])]


def _position(edge: str) -> int:
    return _KEY_SPACE if edge == END_OF_KEYS else int(edge.ljust(_KEY_DIGITS, "0"), 16)
