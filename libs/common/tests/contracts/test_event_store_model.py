"""The event store against a model: random appends, right and wrong, over a few streams."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zekt_common.clock import utc_now
from zekt_common.envelope import Envelope, NewEvent
from zekt_common.errors import StreamConflict

LARGEST_APPEND = 4
STREAMS = ("run/1/1", "run/1/11", "delivery/x")

Append = tuple[str, int, int]  # stream, number of events, how far the expected version is off

appends = st.lists(
    st.tuples(st.sampled_from(STREAMS), st.integers(1, LARGEST_APPEND), st.sampled_from([0, 0, 0, -1, 1, 5])),
    max_size=25,
)


@settings(max_examples=30, deadline=None)
@given(rounds=st.lists(appends, max_size=3), limit=st.integers(1, 9))
def test_streams_and_feeds_agree_with_a_model(
    open_engine: Any, note: Callable[..., NewEvent], rounds: Sequence[Sequence[Append]], limit: int
) -> None:
    async def scenario() -> None:
        with TemporaryDirectory() as directory:
            model: dict[str, list[Envelope]] = {stream: [] for stream in STREAMS}
            for appending in rounds:
                async with open_engine(Path(directory), utc_now) as backend:
                    for stream, count, off in appending:
                        events = [note(f"{stream} {n}") for n in range(count)]
                        await append(backend.store, model[stream], (stream, events, off))
                    await agree(backend.store, model, limit)

    asyncio.run(scenario())


async def append(store: Any, known: list[Envelope], asked: tuple[str, list[NewEvent], int]) -> None:
    stream, events, off = asked
    version = len(known)
    if off == 0:
        known += await store.append(stream, events, expected_version=version)
        return
    with pytest.raises(StreamConflict) as conflict:
        await store.append(stream, events, expected_version=version + off)
    assert (conflict.value.expected, conflict.value.actual) == (version + off, version)


async def agree(store: Any, model: dict[str, list[Envelope]], limit: int) -> None:
    fed: list[Envelope] = []
    for feed in await store.feeds():
        page = await store.read_feed(feed, "", limit)
        while page.events:
            assert len(page.events) < limit + LARGEST_APPEND
            fed += page.events
            page = await store.read_feed(feed, page.cursor, limit)
    for stream, events in model.items():
        assert await store.read(stream) == events
        assert [event for event in fed if event.stream == stream] == events
    assert len(fed) == sum(len(events) for events in model.values())
