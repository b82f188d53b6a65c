"""Views over a wire that loses answers, and writes over several partitions whose writers stop half-way."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from libs.common.tests.cosmos.account import SERVICE

from zekt_common.adapters.cosmos_client import CosmosDatabase
from zekt_common.adapters.cosmos_ids import BOUND, decode_id, encode_id
from zekt_common.adapters.cosmos_topology import views_of
from zekt_common.adapters.cosmos_views import CosmosViews
from zekt_common.errors import BackendUnavailable, DocumentConflict
from zekt_common.ports.views import ABSENT, ANY, Put, Remove
from zekt_sandbox.cosmos import CosmosSandbox

PARTITIONS = [f"list/{n}" for n in range(5)]


def put(partition: str, id_: str, body: bytes = b"{}", if_match: str = ANY) -> Put:
    return Put(partition=partition, id=id_, body=body, if_match=if_match)


def page(body: bytes, *, checkpoint: str) -> list[Put | Remove]:
    """Return what a projector writes: documents in several partitions, and its checkpoint."""
    documents = [put(partition, "a", body) for partition in PARTITIONS]
    return [*documents, put("checkpoints", "projector/0", body, if_match=checkpoint)]


async def bodies(views: CosmosViews) -> list[bytes]:
    found = [await views.get(partition, "a") for partition in PARTITIONS]
    return [b"" if each is None else each.body for each in found]


def other_process(database: CosmosDatabase) -> CosmosViews:
    return CosmosViews(database.container(views_of(SERVICE)))


async def checkpoint(views: CosmosViews) -> str:
    document = await views.get("checkpoints", "projector/0")
    return document.etag if document else ABSENT


async def own_ids(database: CosmosDatabase) -> list[str]:
    """Return the ids of the items that are no documents."""
    container = database.container(views_of(SERVICE))
    found = [await container.query(name, "SELECT VALUE c.id FROM c", {}) for name in ("checkpoints", *PARTITIONS)]
    return [id_ for ids in found for id_ in ids if id_ < BOUND]


@settings(deadline=None)
@given(st.text(min_size=1, max_size=40))
def test_every_id_comes_back_and_has_none_of_the_refused_characters(id_: str) -> None:
    encoded = encode_id(id_)
    assert decode_id(encoded) == id_
    assert not set(encoded) & set("/\\?#\t\r\n")
    assert not encoded.endswith(" ")
    assert encoded >= BOUND


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=6), max_size=8))
def test_encoding_keeps_the_order(ids: Sequence[str]) -> None:
    assert sorted(ids) == sorted(ids, key=encode_id)


@pytest.mark.parametrize("if_match", [ANY, ABSENT, "present"])
async def test_a_lost_answer_is_no_conflict(views: CosmosViews, account: CosmosSandbox, if_match: str) -> None:
    if if_match == "present":
        (if_match,) = await views.write([put("p", "a")])
    account.faults.add("drop_after", operation="writes", count=1)
    (etag,) = await views.write([put("p", "a", b"2", if_match)])
    document = await views.get("p", "a")
    assert document is not None
    assert (document.etag, document.body) == (etag, b"2")


async def test_a_lost_answer_to_several_changes_is_no_conflict(views: CosmosViews, account: CosmosSandbox) -> None:
    account.faults.add("drop_after", operation="batch", count=1)
    etags = await views.write([put("p", "a", if_match=ABSENT), put("p", "b")])
    assert [document.etag for document in await views.listing("p")] == etags


async def test_ten_racing_writers_whose_answers_get_lost_lose_no_count(
    database: CosmosDatabase, views: CosmosViews, account: CosmosSandbox
) -> None:
    await views.write([put("p", "count", b"0")])
    account.faults.add("drop_after", operation="writes", count=None, probability=0.2, seed=3)

    async def count_up(own: CosmosViews) -> None:
        while True:
            document = await own.get("p", "count")
            assert document is not None
            try:
                await own.write([put("p", "count", b"%d" % (int(document.body) + 1), document.etag)])
            except DocumentConflict:
                continue
            return

    await asyncio.gather(*(count_up(other_process(database)) for _ in range(10)))
    document = await views.get("p", "count")
    assert document is not None
    assert int(document.body) >= 10  # a count whose answer was lost and that others built on is counted again


async def test_a_write_over_several_partitions_is_finished_by_whoever_reads_its_checkpoint(
    database: CosmosDatabase, views: CosmosViews, account: CosmosSandbox
) -> None:
    await views.write(page(b"1", checkpoint=ABSENT))
    before = await checkpoint(views)
    account.faults.add("error", status=449, operation="batch", count=None)
    with pytest.raises(BackendUnavailable):
        await views.write(page(b"2", checkpoint=before))
    account.faults.clear()
    other = other_process(database)
    assert await checkpoint(other) != before
    assert await bodies(other) == [b"2"] * len(PARTITIONS)


async def test_a_write_that_was_never_decided_leaves_nothing(
    database: CosmosDatabase, views: CosmosViews, account: CosmosSandbox
) -> None:
    await views.write(page(b"1", checkpoint=ABSENT))
    before = await checkpoint(views)
    account.faults.add("error", status=449, operation="replace", count=None)
    with pytest.raises(BackendUnavailable):
        await views.write(page(b"2", checkpoint=before))
    account.faults.clear()
    other = other_process(database)
    assert await checkpoint(other) == before
    assert await bodies(other) == [b"1"] * len(PARTITIONS)


async def test_the_loser_of_a_race_over_several_partitions_writes_nothing(views: CosmosViews) -> None:
    await views.write(page(b"1", checkpoint=ABSENT))
    with pytest.raises(DocumentConflict):
        await views.write(page(b"2", checkpoint=ABSENT))
    assert await bodies(views) == [b"1"] * len(PARTITIONS)


async def test_a_writer_that_was_held_up_undoes_nothing_that_came_after_it(
    database: CosmosDatabase, views: CosmosViews, account: CosmosSandbox
) -> None:
    await views.write(page(b"1", checkpoint=ABSENT))
    slow = account.faults.add("slow", operation="batch", delay_s=1.0, count=1)
    held_up = asyncio.create_task(views.write(page(b"2", checkpoint=await checkpoint(views))))
    async with asyncio.timeout(60):
        while not slow.taken:  # noqa: ASYNC110 - the stand-in tells of it by this number alone
            await asyncio.sleep(0.01)
    other = other_process(database)
    await other.write(page(b"3", checkpoint=await checkpoint(other)))
    await held_up
    assert await bodies(other) == [b"3"] * len(PARTITIONS)


async def test_nothing_is_left_of_a_finished_write_but_what_expires(
    database: CosmosDatabase, views: CosmosViews, account: CosmosSandbox
) -> None:
    await views.write(page(b"1", checkpoint=ABSENT))
    assert len(await own_ids(database)) == len(PARTITIONS)
    account.clock.advance(2 * 86_400)
    assert await own_ids(database) == []


async def test_a_document_expires_when_it_was_told_to(views: CosmosViews, account: CosmosSandbox) -> None:
    await views.write([Put(partition="p", id="a", body=b"1", ttl_s=60), put("p", "b")])
    account.clock.advance(30)
    assert [document.id for document in await views.listing("p")] == ["a", "b"]
    account.clock.advance(40)
    assert await views.get("p", "a") is None
    assert [document.id for document in await views.listing("p")] == ["b"]
    await views.write([put("p", "a", if_match=ABSENT)])


async def test_conditions_in_several_partitions_are_refused(views: CosmosViews) -> None:
    with pytest.raises(ValueError, match="one partition"):
        await views.write([put("p", "a", if_match=ABSENT), put("q", "a", if_match=ABSENT)])


async def test_a_listing_goes_past_what_one_answer_holds(views: CosmosViews) -> None:
    await asyncio.gather(*(views.write([put("p", f"{n:05}{m:02}") for m in range(50)]) for n in range(50)))
    assert len(await views.listing("p", limit=10_000)) == 2500
