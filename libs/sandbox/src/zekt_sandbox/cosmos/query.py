"""Queries and their pages: an ordered result is kept while nothing changes, and continued by key when something did."""

import json
from dataclasses import dataclass
from typing import Any

from zekt_sandbox.cosmos.answers import Answer, charge, listing, session
from zekt_sandbox.cosmos.calls import Call
from zekt_sandbox.cosmos.containers import Container
from zekt_sandbox.cosmos.encoding import encode
from zekt_sandbox.cosmos.errors import bad_request
from zekt_sandbox.cosmos.indexing import require_index
from zekt_sandbox.cosmos.pages import MAX_PAGE_BYTES, page_size
from zekt_sandbox.cosmos.partitions import END_OF_KEYS, FIRST_KEY, Item
from zekt_sandbox.cosmos.scope import Scope
from zekt_sandbox.cosmos.sql.plan import query_plan
from zekt_sandbox.cosmos.sql.select import Row, Select
from zekt_sandbox.cosmos.sql.statement import parse_select

_KEPT_RESULTS = 32
_NEEDS_PLAN = 1004
_EVERYTHING: dict[str, Any] = {"query": "SELECT * FROM c"}


def answer_query(container: Container, call: Call) -> Answer:
    """One page of a query's rows.

    Raises:
        CosmosError: 400, the query cannot be read or, with substatus 1004, needs the SDK to merge several ranges.
    """
    return _page(container, call, call.json())


def answer_read_feed(container: Container, call: Call) -> Answer:
    """One page of all items."""
    return _page(container, call, _EVERYTHING)


def answer_query_plan(call: Call) -> Answer:
    """How the SDK is to merge the query's results over several key ranges."""
    text, parameters = _read(call.json())
    everything = {"min": FIRST_KEY, "max": END_OF_KEYS, "isMinInclusive": True, "isMaxInclusive": False}
    info = query_plan(parse_select(text), parameters)
    plan = {"partitionedQueryExecutionInfoVersion": 2, "queryInfo": info, "queryRanges": [everything]}
    return Answer(200, encode(plan))


@dataclass(slots=True)
class _Query:
    """A query with its parameters and the items it ranges over."""

    container: Container
    scope: Scope
    select: Select
    text: str
    parameters: dict[str, Any]

    def rows(self, *, continued: bool) -> list[Row[Item]]:
        """The whole ordered result; for a further page the one that was kept, as long as it still holds."""
        kept: list[Row[Item]] | None = self.container.results.get(self._identity()) if continued else None
        return self.select.run(self.scope.items(), self.parameters) if kept is None else kept

    def keep(self, rows: list[Row[Item]]) -> None:
        """Remember the result for the pages to come."""
        results = self.container.results
        if len(results) >= _KEPT_RESULTS:
            results.clear()
        results[self._identity()] = rows

    def _identity(self) -> tuple[Any, ...]:
        return self.text, encode(self.parameters), self.scope.identity, self.container.changes

    def texts(self, rows: list[Row[Item]]) -> tuple[list[str], int]:
        """As many rows as a page can hold, and how many rows these took; an expired item leaves no text."""
        texts: list[str] = []
        size_bytes = 0
        for taken, row in enumerate(rows):
            if row.item is not None and self.container.is_expired(row.item):
                continue
            text = row.item.text if self.select.star and row.item else encode(row.value)
            size_bytes += len(text)
            if texts and size_bytes > MAX_PAGE_BYTES:
                return texts, taken
            texts.append(text)
        return texts, len(rows)


def _read(body: Any) -> tuple[str, dict[str, Any]]:
    try:
        return str(body["query"]), {given["name"]: given["value"] for given in body.get("parameters") or ()}
    except (AttributeError, KeyError, TypeError):
        raise bad_request("The request body is not a query with its parameters.") from None


def _page(container: Container, call: Call, body: Any) -> Answer:
    text, parameters = _read(body)
    query = _Query(container, Scope.read(container, call.headers), parse_select(text), text, parameters)
    _require_servable(query)
    token = call.headers.get("x-ms-continuation")
    rows = query.rows(continued=token is not None)
    start = 0 if token is None else _resume(rows, query.select, token)
    texts, taken = query.texts(rows[start : start + page_size(call.headers)])
    headers = {"x-ms-item-count": str(len(texts)), **charge(2.3 + 0.25 * len(texts))}
    if (end := start + taken) < len(rows):
        query.keep(rows)
        headers["x-ms-continuation"] = _continuation(rows[end - 1], end)
    if query.scope.key_range is not None:
        headers |= session(container, query.scope.key_range)
    return Answer(200, listing(container.rid, "Documents", texts), headers)


def _require_servable(query: _Query) -> None:
    if query.scope.key_range is None and len(query.container.ranges) > 1 and query.select.needs_merging:
        raise bad_request("The provided cross partition query can not be directly served by the gateway.", _NEEDS_PLAN)
    require_index(query.container.properties["indexingPolicy"], query.select.order)


def _continuation(last: Row[Item], position: int) -> str:
    number = last.item.number if last.item else 0
    return json.dumps({"position": position, "keys": last.keys, "number": number})


def _resume(rows: list[Row[Item]], select: Select, token: str) -> int:
    """The position after the last row that was answered, wherever that is now."""
    try:
        last = json.loads(token)
        position, keys, number = int(last["position"]), [tuple(key) for key in last["keys"]], int(last["number"])
        if 0 < position <= len(rows) and (found := rows[position - 1].item) and found.number == number:
            return position
        later = (index for index, row in enumerate(rows) if select.is_after(row, keys, number))
        return next(later, len(rows))
    except (KeyError, TypeError, ValueError):
        raise bad_request("Invalid continuation token.") from None
