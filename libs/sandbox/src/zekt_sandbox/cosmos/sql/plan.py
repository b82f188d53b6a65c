"""Query plans: what the SDK asks for before it merges a query's results over several key ranges."""

import json
from collections.abc import Mapping
from typing import Any

from zekt_sandbox.cosmos.sql.evaluation import Context, Evaluate
from zekt_sandbox.cosmos.sql.select import Select
from zekt_sandbox.cosmos.sql.tokens import SqlError


def query_plan(select: Select, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The plan, in the service's own terms.

    Raises:
        SqlError: it aggregates anything but one SELECT VALUE.
    """
    numbers = [_number(given, parameters) for given in (select.top, select.offset, select.limit)]
    top, offset, limit = numbers
    return {
        "distinctType": "None",
        "top": top,
        "offset": offset,
        "limit": limit,
        "orderBy": ["Descending" if by.descending else "Ascending" for by in select.order],
        "orderByExpressions": [by.source for by in select.order],
        "groupByExpressions": [],
        "groupByAliases": [],
        "aggregates": _aggregate_names(select),
        "groupByAliasToAggregateType": {},
        "rewrittenQuery": _rewritten(select, top, offset, limit),
        "hasSelectValue": select.value,
        "dCountInfo": None,
        "hasNonStreamingOrderBy": False,
    }


def _number(given: Evaluate | None, parameters: Mapping[str, Any]) -> int | None:
    return None if given is None else int(given({}, Context(parameters)))


def _aggregate_names(select: Select) -> list[str]:
    if not select.aggregates:
        return []
    called = select.projections[0].aggregate
    if not select.value or called is None:
        raise SqlError("over several partitions this stand-in aggregates one SELECT VALUE only")
    return [called.name.capitalize()]


def _rewritten(select: Select, top: int | None, offset: int | None, limit: int | None) -> str:
    source = _from_where(select)
    if select.aggregates:
        return f'SELECT VALUE [{{"item": {select.projections[0].source}}}] {source}'
    head = "SELECT" if top is None else f"SELECT TOP {top}"
    tail = "" if offset is None or limit is None else f" OFFSET 0 LIMIT {offset + limit}"
    if select.order:
        keys = ", ".join(f'{{"item": {by.source}}}' for by in select.order)
        sorting = ", ".join(f"{by.source} {'DESC' if by.descending else 'ASC'}" for by in select.order)
        rid = f"{select.alias}._rid"
        return (
            f"{head} {rid}, [{keys}] AS orderByItems, {_payload(select)} AS payload {source} ORDER BY {sorting}{tail}"
        )
    return f"{head} {'*' if select.star else f'VALUE {_payload(select)}'} {source}{tail}" if tail else ""


def _from_where(select: Select) -> str:
    where = f" WHERE {select.where_source}" if select.where_source else ""
    return f"FROM {select.alias}{where}"


def _payload(select: Select) -> str:
    if select.star:
        return select.alias
    if select.value:
        return select.projections[0].source
    return "{" + ", ".join(f"{json.dumps(part.name)}: {part.source}" for part in select.projections) + "}"
