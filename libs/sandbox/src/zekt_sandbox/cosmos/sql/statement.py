"""Reads a query's text into a `Select`."""

import functools

from zekt_sandbox.cosmos.sql.evaluation import Evaluate
from zekt_sandbox.cosmos.sql.expressions import Aggregate, ExpressionParser
from zekt_sandbox.cosmos.sql.select import Ordering, Projection, Select
from zekt_sandbox.cosmos.sql.tokens import Cursor, SqlError

_AFTER_FROM = ("WHERE", "ORDER", "OFFSET", "GROUP", "JOIN", "IN")


@functools.lru_cache(maxsize=512)
def parse_select(query: str) -> Select:
    """The query, ready to run.

    Raises:
        SqlError: it is none of this subset.
    """
    return _StatementParser(query).parse()


class _StatementParser:
    def __init__(self, query: str) -> None:
        self._cursor = Cursor(query)
        self._expressions = ExpressionParser(self._cursor)

    def parse(self) -> Select:
        self._cursor.need_word("SELECT")
        top = self._expressions.value() if self._cursor.take_word("TOP") else None
        star = self._cursor.take_sign("*") is not None
        value = not star and self._cursor.take_word("VALUE") is not None
        projections = [] if star else self._projections()
        alias = self._source()
        where, where_source = self._where()
        order = self._order()
        offset, limit = self._offset_and_limit()
        self._refuse_rest(alias)
        return Select(
            alias=alias,
            star=star,
            value=value,
            projections=projections,
            aggregates=self._expressions.aggregates,
            where=where,
            where_source=where_source,
            order=order,
            top=top,
            offset=offset,
            limit=limit,
        )

    def _projections(self) -> list[Projection]:
        found = [self._projection(1)]
        while self._cursor.take_sign(","):
            found.append(self._projection(len(found) + 1))
        return found

    def _projection(self, place: int) -> Projection:
        first = self._cursor.position
        evaluate = self._expressions.expression()
        aggregate = self._whole_aggregate(first)
        source = self._cursor.text_since(first)
        return Projection(self._projection_name(source, place), evaluate, source, aggregate)

    def _projection_name(self, source: str, place: int) -> str:
        if self._cursor.take_word("AS"):
            return self._name()
        last = source.rpartition(".")[2]
        return last if last.isidentifier() else f"${place}"

    def _whole_aggregate(self, first: int) -> Aggregate | None:
        spans = (called for called in self._expressions.aggregates if called.first == first)
        return next((called for called in spans if called.last == self._cursor.position), None)

    def _source(self) -> str:
        self._cursor.need_word("FROM")
        name = self._name()
        following = self._cursor.token
        if self._cursor.take_word("AS") or (following.kind == "word" and following.text.upper() not in _AFTER_FROM):
            return self._name()
        return name

    def _name(self) -> str:
        token = self._cursor.take()
        if token.kind != "word":
            raise SqlError(f"Syntax error: expected a name, got {token.text!r}")
        return token.text

    def _where(self) -> tuple[Evaluate | None, str]:
        if not self._cursor.take_word("WHERE"):
            return None, ""
        first, calls = self._cursor.position, len(self._expressions.aggregates)
        where = self._expressions.expression()
        if len(self._expressions.aggregates) > calls:
            raise SqlError("Cannot perform an aggregate function in a WHERE clause.")
        return where, self._cursor.text_since(first)

    def _order(self) -> list[Ordering]:
        if not self._cursor.take_word("ORDER"):
            return []
        self._cursor.need_word("BY")
        found = [self._ordering()]
        while self._cursor.take_sign(","):
            found.append(self._ordering())
        return found

    def _ordering(self) -> Ordering:
        first = self._cursor.position
        evaluate = self._expressions.value()
        source = self._cursor.text_since(first)
        return Ordering(evaluate, self._cursor.take_word("ASC", "DESC") == "DESC", source)

    def _offset_and_limit(self) -> tuple[Evaluate | None, Evaluate | None]:
        if not self._cursor.take_word("OFFSET"):
            return None, None
        offset = self._expressions.value()
        self._cursor.need_word("LIMIT")
        return offset, self._expressions.value()

    def _refuse_rest(self, alias: str) -> None:
        if self._cursor.token.kind != "end":
            raise SqlError(f"Syntax error near {self._cursor.token.text!r}, or beyond this stand-in's subset")
        for unknown in self._expressions.names - {alias}:
            raise SqlError(f"Identifier '{unknown}' could not be resolved.")
