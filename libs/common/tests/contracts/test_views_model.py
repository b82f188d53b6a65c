"""The views against a model: random writes of several documents, conditional and not."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from zekt_common.clock import utc_now
from zekt_common.ports import Put, Remove, Views
from zekt_common.ports.views import ABSENT, ANY

Change = tuple[bool, str, str, bool]  # put or remove, partition, id, conditional on the right ETag or not

in_either = st.tuples(st.booleans(), st.sampled_from("pq"), st.sampled_from("abc"), st.just(value=False))
in_the_one = st.tuples(st.booleans(), st.just("p"), st.sampled_from("abc"), st.booleans())
change = in_either | in_the_one  # conditions lie in one partition
distinct = st.lists(change, min_size=1, max_size=4, unique_by=lambda each: each[1:3])


@settings(max_examples=30, deadline=None)
@given(writes=st.lists(distinct, max_size=15))
def test_documents_agree_with_a_model(open_engine: Any, writes: Sequence[Sequence[Change]]) -> None:
    async def scenario() -> None:
        model: dict[tuple[str, str], tuple[str, bytes]] = {}
        with TemporaryDirectory() as directory:
            async with open_engine(Path(directory), utc_now) as backend:
                for n, changes in enumerate(writes):
                    await write(backend.views, model, changes, str(n).encode())
                for partition in "pq":
                    found = {each.id: (each.etag, each.body) for each in await backend.views.listing(partition)}
                    assert found == {id_: kept for (place, id_), kept in model.items() if place == partition}

    asyncio.run(scenario())


async def write(
    views: Views, model: dict[tuple[str, str], tuple[str, bytes]], changes: Sequence[Change], body: bytes
) -> None:
    asked: list[Put | Remove] = []
    for is_put, partition, id_, conditional in changes:
        etag = model.get((partition, id_), (ABSENT, b""))[0]
        if_match = etag if conditional else ANY
        asked.append(
            Put(partition=partition, id=id_, body=body, if_match=if_match)
            if is_put
            else Remove(partition=partition, id=id_, if_match=ANY if etag == ABSENT else if_match)
        )
    etags = await views.write(asked)
    for done, etag in zip(asked, etags, strict=True):
        model.pop((done.partition, done.id), None)
        if isinstance(done, Put):
            model[done.partition, done.id] = (etag, done.body)
