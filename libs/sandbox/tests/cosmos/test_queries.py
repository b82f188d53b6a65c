from typing import Any

import pytest
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import CosmosHttpResponseError

ITEM = {
    "id": "1",
    "stream": "a",
    "n": 5,
    "half": 2.5,
    "name": "Zekt",
    "on": True,
    "nothing": None,
    "list": [1, "two"],
    "inner": {"deep": {"x": 7}},
}


async def rows(container: ContainerProxy, query: str, **options: Any) -> list[Any]:
    parameters = [{"name": f"@{name}", "value": value} for name, value in options.pop("parameters", {}).items()]
    found = container.query_items(query, parameters=parameters, partition_key=options.pop("key", "a"), **options)
    return [row async for row in found]


def selecting(condition: str) -> str:
    return f"SELECT VALUE c.id FROM c WHERE {condition}"  # noqa: S608  the test's own words


@pytest.mark.parametrize(
    "condition",
    [
        "c.n = 5 AND c.name = 'Zekt'",
        "c.n > 4 AND c.n >= 5 AND c.n < 6 AND c.n <= 5 AND c.n != 4 AND c.n <> 4",
        "c.n = 4 OR c.on",
        "NOT (c.n = 4)",
        "c.n IN (1, 5)",
        "c.n NOT IN (1, 2)",
        "c.n BETWEEN 5 AND 6",
        "c.n NOT BETWEEN 6 AND 7",
        "c.half = 1.5 + 1 AND c.n = 2 * 3 - 1 AND c.n % 2 = 1 AND c.half = c.n / 2 AND -c.n = -5",
        "c.name || '!' = \"Zekt!\"",
        "c.inner.deep.x = 7 AND c['inner'][\"deep\"].x = 7 AND c.list[1] = 'two'",
        "c.nothing = null AND IS_NULL(c.nothing) AND c.on = true",
        "IS_DEFINED(c.nothing) AND NOT IS_DEFINED(c.none) AND NOT IS_DEFINED(c.list[9])",
        "STARTSWITH(c.name, 'Ze') AND ENDSWITH(c.name, 'kt') AND CONTAINS(c.name, 'ek')",
        "LOWER(c.name) = 'zekt' AND UPPER(c.name) = 'ZEKT' AND LENGTH(c.name) = 4",
        "ARRAY_CONTAINS(c.list, 'two') AND ARRAY_LENGTH(c.list) = 2",
        "IS_STRING(c.name) AND IS_NUMBER(c.n) AND IS_BOOL(c.on) AND IS_ARRAY(c.list) AND NOT IS_NUMBER(c.on)",
        "c.name = 'it\\'s' OR c.name = @name",
    ],
)
async def test_conditions_that_hold(container: ContainerProxy, condition: str) -> None:
    await container.create_item(ITEM)
    assert await rows(container, selecting(condition), parameters={"name": "Zekt"}) == ["1"]


@pytest.mark.parametrize(
    "condition",
    [
        "c.n = '5'",
        "c.none = 5",
        "c.none != 5",
        "NOT (c.none = 5)",
        "c.n > 'a'",
        "c.nothing < 1",
        "c.n = 5 AND c.none",
        "c.none IN (1, 2)",
        "c.n / 0 = 0",
        "c.name + 1 = 1",
        "c.on = 1",
        "ARRAY_CONTAINS(c.n, 5)",
        "LENGTH(c.n) = 1",
        "c.n = @none",
        "c.n",
    ],
)
async def test_conditions_that_do_not_hold_or_are_undefined(container: ContainerProxy, condition: str) -> None:
    await container.create_item(ITEM)
    assert await rows(container, selecting(condition)) == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT c.id, c.n AS number, c.none FROM c", {"id": "1", "number": 5}),
        ("SELECT VALUE c.inner FROM c", {"deep": {"x": 7}}),
        ("SELECT VALUE {'a': c.n, b: [c.name, c.none]} FROM c", {"a": 5, "b": ["Zekt"]}),
        ("SELECT c.n + 1, c.id FROM c", {"$1": 6, "id": "1"}),
        ("SELECT VALUE COUNT(1) FROM c", 1),
        ("SELECT COUNT(c.none) AS nones, MAX(c.n) AS most FROM c", {"nones": 0, "most": 5}),
        ("select value r.n from root r where r.n = 5 order by r.n desc", 5),
        ("SELECT VALUE r.n FROM items AS r", 5),
        ("SELECT VALUE r.n FROM r ORDER BY r.n", 5),
    ],
)
async def test_what_is_selected(container: ContainerProxy, query: str, expected: Any) -> None:
    await container.create_item(ITEM)
    assert await rows(container, query) == [expected]


async def test_rows_come_in_order(container: ContainerProxy, fill: Any) -> None:
    await fill("a", "b", count=5)
    assert await rows(container, "SELECT VALUE c.n FROM c WHERE c.n > 2 ORDER BY c.n") == [3, 4, 5]
    assert await rows(container, "SELECT VALUE c.n FROM c ORDER BY c.n DESC") == [5, 4, 3, 2, 1]
    assert await rows(container, "SELECT TOP 2 VALUE c.n FROM c ORDER BY c.n DESC") == [5, 4]
    assert await rows(
        container, "SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 1 LIMIT @take", parameters={"take": 2}
    ) == [2, 3]
    totals = "SELECT VALUE [COUNT(1), MAX(c.n), MIN(c.n), SUM(c.n)] FROM c WHERE c.n < 5"
    assert await rows(container, totals) == [[4, 4, 1, 10]]


async def test_types_have_an_order_too(container: ContainerProxy) -> None:
    values = [{"x": 1}, [1], "b", "a", 2, 1.5, True, False, None]
    for number, value in enumerate(values):
        await container.create_item({"id": f"{number}", "stream": "a", "v": value})
    await container.create_item({"id": "9", "stream": "a"})
    assert await rows(container, "SELECT VALUE c.id FROM c ORDER BY c.v") == ["9", *map(str, reversed(range(9)))]


async def test_pages_hold_what_was_asked_for_and_continue(container: ContainerProxy, fill: Any) -> None:
    await fill("a", count=250)
    query = "SELECT * FROM c ORDER BY c.n"
    pages = container.query_items(query, partition_key="a", max_item_count=100).by_page()
    sizes = [len([item async for item in page]) async for page in pages]
    assert sizes == [100, 100, 50]
    first: Any = container.query_items(query, partition_key="a", max_item_count=100).by_page()
    async for page in first:
        assert [item["n"] async for item in page] == list(range(1, 101))
        break
    rest = container.query_items(query, partition_key="a", max_item_count=1000).by_page(first.continuation_token)
    assert [item["n"] async for page in rest async for item in page] == list(range(101, 251))


@pytest.mark.parametrize(
    ("query", "rest"),
    [
        ("SELECT * FROM c ORDER BY c.n", [3, 4, 5]),
        ("SELECT * FROM c ORDER BY c.n DESC", [3, 2, 1, 0]),
        ("SELECT * FROM c", [3, 4, 5, 0]),
    ],
)
async def test_a_continuation_skips_nothing_when_items_come_and_go(
    container: ContainerProxy, fill: Any, query: str, rest: list[int]
) -> None:
    await fill("a", count=5)
    pages: Any = container.query_items(query, partition_key="a", max_item_count=2).by_page()
    async for page in pages:
        last = [item["id"] async for item in page][-1]
        break
    await container.delete_item(last, "a")
    await container.create_item({"id": "0", "stream": "a", "n": 0})
    continued = container.query_items(query, partition_key="a").by_page(pages.continuation_token)
    assert [item["n"] async for page in continued async for item in page] == rest


async def test_a_query_says_what_it_cost(container: ContainerProxy, fill: Any) -> None:
    await fill("a", count=2)
    assert len(await rows(container, "SELECT * FROM c")) == 2
    assert float(container.client_connection.last_response_headers["x-ms-request-charge"]) > 2


@pytest.mark.parametrize(
    "query",
    [
        "SELECT",
        "SELECT * FROM",
        "SELECT * FROM c AS 1",
        "SELECT * FROM c WHERE",
        "SELECT * FROM c WHERE c.n = ",
        "SELECT * FROM c WHERE c.n = 'open",
        "SELECT * FROM c WHERE (c.n = 1",
        "SELECT * FROM c WHERE c.n = 1 c",
        "SELECT * FROM c WHERE x.n = 1",
        "SELECT * FROM c WHERE c.n IN (1",
        "SELECT * FROM c WHERE NONESUCH(c.n)",
        "SELECT * FROM c WHERE COUNT(1) > 1",
        "SELECT * FROM c WHERE c.n = ]",
        "SELECT * FROM c ORDER c.n",
        "SELECT DISTINCT c.n FROM c",
        "SELECT * FROM c JOIN d IN c.list",
        "SELECT c.n FROM c GROUP BY c.n",
    ],
)
async def test_a_query_that_cannot_be_read_is_refused(container: ContainerProxy, query: str) -> None:
    with pytest.raises(CosmosHttpResponseError) as refused:
        await rows(container, query)
    assert refused.value.status_code == 400


async def test_a_foreign_continuation_is_refused(container: ContainerProxy) -> None:
    pages = container.query_items("SELECT * FROM c", partition_key="a").by_page("not one of ours")
    with pytest.raises(CosmosHttpResponseError, match="continuation") as refused:
        _ = [page async for page in pages]
    assert refused.value.status_code == 400
