import asyncio
from pathlib import Path
from typing import Any

import pytest

from zekt_common.adapters.embedded import Backend
from zekt_common.clock import utc_now
from zekt_common.errors import DocumentConflict
from zekt_common.ports import Document, Put, Remove, Views
from zekt_common.ports.views import ABSENT, ANY


def put(id_: str, body: bytes = b"{}", *, partition: str = "p", if_match: str = ANY) -> Put:
    return Put(partition=partition, id=id_, body=body, if_match=if_match)


def remove(id_: str, *, partition: str = "p", if_match: str = ANY) -> Remove:
    return Remove(partition=partition, id=id_, if_match=if_match)


async def listed(views: Views, **options: Any) -> list[str]:
    return [document.id for document in await views.listing("p", **options)]


async def test_a_document_is_read_as_it_was_written(backend: Backend) -> None:
    assert await backend.views.get("p", "a") is None
    (etag,) = await backend.views.write([put("a", b'{"n":1}')])
    assert await backend.views.get("p", "a") == Document(partition="p", id="a", etag=etag, body=b'{"n":1}')


async def test_a_write_replaces_the_document_and_its_etag(backend: Backend) -> None:
    (first,) = await backend.views.write([put("a", b"1")])
    (second,) = await backend.views.write([put("a", b"1")])
    assert first != second
    document = await backend.views.get("p", "a")
    assert document is not None
    assert (document.etag, document.body) == (second, b"1")


@pytest.mark.parametrize("name", ["o'clock", '"x"', "a/b", "a\\b", "[0]", "$.a", "%", "Zürich 北京", "7", "null", " "])
async def test_partitions_and_ids_are_just_text(backend: Backend, name: str) -> None:
    (etag,) = await backend.views.write([put(name, b"1", partition=name)])
    (etag,) = await backend.views.write([put(name, b"2", partition=name, if_match=etag)])
    assert [document.body for document in await backend.views.listing(name)] == [b"2"]
    await backend.views.write([remove(name, partition=name, if_match=etag)])
    assert await backend.views.get(name, name) is None


async def test_a_document_is_created_once(backend: Backend) -> None:
    await backend.views.write([put("a", b"1", if_match=ABSENT)])
    with pytest.raises(DocumentConflict):
        await backend.views.write([put("a", b"2", if_match=ABSENT)])
    await backend.views.write([remove("a"), put("b")])
    await backend.views.write([put("a", b"3", if_match=ABSENT)])


async def test_an_old_etag_conflicts(backend: Backend) -> None:
    (old,) = await backend.views.write([put("a", b"1")])
    (new,) = await backend.views.write([put("a", b"2", if_match=old)])
    with pytest.raises(DocumentConflict):
        await backend.views.write([put("a", b"3", if_match=old)])
    with pytest.raises(DocumentConflict):
        await backend.views.write([remove("a", if_match=old)])
    await backend.views.write([remove("a", if_match=new)])
    with pytest.raises(DocumentConflict):
        await backend.views.write([put("a", b"4", if_match=new)])


async def test_a_document_that_was_removed_and_made_again_has_another_etag(backend: Backend) -> None:
    (first,) = await backend.views.write([put("a")])
    await backend.views.write([remove("a")])
    (second,) = await backend.views.write([put("a")])
    assert first != second


async def test_removing_what_is_not_there_changes_nothing(backend: Backend) -> None:
    assert await backend.views.write([remove("a")]) == [""]
    with pytest.raises(DocumentConflict):
        await backend.views.write([remove("a", if_match="1")])


async def test_a_conflict_undoes_the_whole_write(backend: Backend) -> None:
    await backend.views.write([put("a", b"1"), put("b", b"1")])
    with pytest.raises(DocumentConflict):
        await backend.views.write([put("a", b"2"), remove("b"), put("c"), put("a2", if_match="unknown")])
    assert [(each.id, each.body) for each in await backend.views.listing("p")] == [("a", b"1"), ("b", b"1")]


async def test_a_write_of_nothing_is_nothing(backend: Backend) -> None:
    assert await backend.views.write([]) == []


async def test_a_large_write_is_whole(backend: Backend) -> None:
    etags = await backend.views.write([put(f"{n:04}") for n in range(500)])
    assert len(set(etags)) == 500
    assert len(await listed(backend.views, limit=1000)) == 500
    await backend.views.write([remove(f"{n:04}") for n in range(500)])
    assert await listed(backend.views) == []


async def test_a_listing_goes_page_by_page_both_ways(backend: Backend) -> None:
    await backend.views.write([put(id_) for id_ in "cabed"] + [put("x", partition="q"), put("y", partition="p2")])
    assert await listed(backend.views) == list("abcde")
    assert await listed(backend.views, limit=2) == ["a", "b"]
    assert await listed(backend.views, after="b", limit=2) == ["c", "d"]
    assert await listed(backend.views, after="e") == []
    assert await listed(backend.views, descending=True, limit=2) == ["e", "d"]
    assert await listed(backend.views, after="d", descending=True) == ["c", "b", "a"]
    assert await backend.views.listing("unknown") == []


async def test_counting_up_by_compare_and_set_loses_no_count(backend: Backend) -> None:
    await backend.views.write([put("count", b"0")])

    async def count_up() -> None:
        while True:
            document = await backend.views.get("p", "count")
            assert document is not None
            body = str(int(document.body) + 1).encode()
            try:
                await backend.views.write([put("count", body, if_match=document.etag)])
            except DocumentConflict:
                continue
            return

    await asyncio.gather(*(count_up() for _ in range(32)))
    document = await backend.views.get("p", "count")
    assert document is not None
    assert document.body == b"32"


async def test_documents_outlive_the_process(open_engine: Any, tmp_path: Path) -> None:
    async with open_engine(tmp_path, utc_now) as backend:
        (etag,) = await backend.views.write([put("a", b"1")])
    async with open_engine(tmp_path, utc_now) as backend:
        assert await backend.views.get("p", "a") == Document(partition="p", id="a", etag=etag, body=b"1")
