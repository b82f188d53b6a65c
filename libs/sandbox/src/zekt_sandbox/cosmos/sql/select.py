"""A parsed query and how it runs over items."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from zekt_sandbox.cosmos.sql.evaluation import Context, Evaluate
from zekt_sandbox.cosmos.sql.expressions import Aggregate
from zekt_sandbox.cosmos.sql.functions import AGGREGATES
from zekt_sandbox.cosmos.sql.values import UNDEFINED, sort_key

SortKeys = Sequence[tuple[int, Any]]


class Document(Protocol):
    """What a query reads."""

    @property
    def body(self) -> dict[str, Any]:
        """The item's properties."""

    @property
    def number(self) -> int:
        """The item's place in order of creation."""


D = TypeVar("D", bound=Document)


@dataclass(frozen=True, slots=True)
class Row(Generic[D]):
    """One result: what it is sorted by, the item it comes from (None for an aggregate) and its value."""

    keys: SortKeys
    item: D | None
    value: Any


@dataclass(frozen=True, slots=True)
class Projection:
    """One selected expression; `aggregate` is set if it is nothing but that call."""

    name: str
    evaluate: Evaluate
    source: str
    aggregate: Aggregate | None


@dataclass(frozen=True, slots=True)
class Ordering:
    """One ORDER BY expression."""

    evaluate: Evaluate
    descending: bool
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """SELECT [TOP n] … FROM … [WHERE …] [ORDER BY …] [OFFSET n LIMIT n]; `star` and `value` say which kind."""

    alias: str
    star: bool
    value: bool
    projections: Sequence[Projection]
    aggregates: Sequence[Aggregate]
    where: Evaluate | None
    where_source: str
    order: Sequence[Ordering]
    top: Evaluate | None
    offset: Evaluate | None
    limit: Evaluate | None

    @property
    def needs_merging(self) -> bool:
        """Whether results of several key ranges cannot just follow one another."""
        return bool(self.order or self.aggregates or self.top is not None or self.offset is not None)

    def matches(self, body: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
        """Whether WHERE holds for one item."""
        return self.where is None or self.where(body, Context(parameters)) is True

    def run(self, items: Iterable[D], parameters: Mapping[str, Any]) -> list[Row[D]]:
        """All rows in order; aggregates make one row."""
        context = Context(parameters)
        if (where := self.where) is not None:
            items = [item for item in items if where(item.body, context) is True]
        if self.aggregates:
            return self._aggregated(items, context)
        rows = [row for item in items if (row := self._row(item, context)).value is not UNDEFINED]
        for index in reversed(range(len(self.order))):
            rows.sort(key=_nth_key(index), reverse=self.order[index].descending)
        return rows[self._bounds(context)]

    def is_after(self, row: Row[D], keys: SortKeys, number: int) -> bool:
        """Whether a row comes after the place of another, given by its keys and its item's number."""
        for own, other, ordering in zip(row.keys, keys, self.order, strict=True):
            if own != other:
                return own < other if ordering.descending else own > other
        return row.item is not None and row.item.number > number

    def _row(self, item: D, context: Context) -> Row[D]:
        keys = [sort_key(by.evaluate(item.body, context)) for by in self.order]
        return Row(keys, item, self._projected(item.body, context))

    def _aggregated(self, items: Iterable[D], context: Context) -> list[Row[D]]:
        bodies = [item.body for item in items]
        totals = []
        for called in self.aggregates:
            values = [value for body in bodies if (value := called.argument(body, context)) is not UNDEFINED]
            totals.append(AGGREGATES[called.name](values))
        value = self._projected({}, Context(context.parameters, totals))
        return [] if value is UNDEFINED else [Row((), None, value)]

    def _projected(self, body: Mapping[str, Any], context: Context) -> Any:
        if self.star:
            return body
        if self.value:
            return self.projections[0].evaluate(body, context)
        values = ((part.name, part.evaluate(body, context)) for part in self.projections)
        return {name: value for name, value in values if value is not UNDEFINED}

    def _bounds(self, context: Context) -> slice:
        start = 0 if self.offset is None else int(self.offset({}, context))
        count = self.limit or self.top
        return slice(start, None if count is None else start + int(count({}, context)))


def _nth_key(index: int) -> Callable[[Row[Any]], tuple[int, Any]]:
    return lambda row: row.keys[index]
