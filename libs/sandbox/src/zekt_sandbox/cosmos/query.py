"""Queries and their pages: an ordered result is kept while nothing changes, and continued by key when something did."""

import json
from typing import Any

from zekt_sandbox.cosmos.answers import Answer, charge, listing, session
from zekt_sandbox.cosmos.calls import Call
from zekt_sandbox.cosmos.containers import Container
from zekt_sandbox.cosmos.encoding import encode
from zekt_sandbox.cosmos.errors import bad_request
from zekt_sandbox.cosmos.partitions import END_OF_KEYS, FIRST_KEY, Item
from zekt_sandbox.cosmos.scope import Scope, page_size
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


def _read(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return body["query"], {given["name"]: given["value"] for given in body.get("parameters") or ()}


def _page(container: Container, call: Call, body: dict[str, Any]) -> Answer:
    text, parameters = _read(body)
    select, scope = parse_select(text), Scope.read(container, call.headers)
    if scope.key_range is None and len(container.ranges) > 1 and select.needs_merging:
        raise bad_request("The provided cross partition query can not be directly served by the gateway.", _NEEDS_PLAN)
    rows = _rows(container, scope, select, (text, parameters))
    start = _resume(rows, select, call.headers.get("x-ms-continuation"))
    end = start + page_size(call.headers)
    page = [row for row in rows[start:end] if row.item is None or not container.is_expired(row.item)]
    headers = {"x-ms-item-count": str(len(page)), **charge(2.3 + 0.25 * len(page))}
    if end < len(rows):
        headers["x-ms-continuation"] = _continuation(rows[end - 1], end)
    if scope.key_range is not None:
        headers |= session(container, scope.key_range)
    texts = [row.item.text if select.star and row.item else encode(row.value) for row in page]
    return Answer(200, listing(container.rid, "Documents", texts), headers)


def _rows(container: Container, scope: Scope, select: Select, asked: tuple[str, dict[str, Any]]) -> list[Row[Item]]:
    key = (asked[0], encode(asked[1]), scope.identity, container.changes)
    kept: list[Row[Item]] | None = container.results.get(key)
    if kept is None:
        kept = select.run(scope.items(), asked[1])
        if len(container.results) >= _KEPT_RESULTS:
            container.results.clear()
        container.results[key] = kept
    return kept


def _continuation(last: Row[Item], position: int) -> str:
    number = last.item.number if last.item else 0
    return json.dumps({"position": position, "keys": last.keys, "number": number})


def _resume(rows: list[Row[Item]], select: Select, token: str | None) -> int:
    """The position after the last row that was answered, wherever that is now."""
    if token is None:
        return 0
    try:
        last = json.loads(token)
        position, keys, number = last["position"], [tuple(key) for key in last["keys"]], last["number"]
    except (KeyError, TypeError, ValueError):
        raise bad_request("Invalid continuation token.") from None
    if 0 < position <= len(rows) and (found := rows[position - 1].item) and found.number == number:
        return int(position)
    later = (index for index, row in enumerate(rows) if row.item and select.is_after(row, keys, number))
    return next(later, len(rows))
