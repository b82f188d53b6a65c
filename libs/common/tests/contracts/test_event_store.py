import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from libs.common.tests.patience import PATIENCE_S

from tests.emulators.containers import WANTED
from zekt_common.adapters.embedded import Backend
from zekt_common.append_limits import MAX_BYTES, weight
from zekt_common.envelope import Envelope, NewEvent
from zekt_common.errors import AppendTooLarge, InvalidStream, StreamConflict
from zekt_common.ports import Put

Note = Callable[..., NewEvent]

HORIZON_PASSES_IN_S = 30.0
"""On the official emulator, whose clock cannot be turned, the margin is years, and horizons claim nothing."""


async def all_events(backend: Backend, limit: int = 1000) -> list[Envelope]:
    events: list[Envelope] = []
    for feed in await backend.store.feeds():
        page = await backend.store.read_feed(feed, "", limit)
        while page.events:
            events += page.events
            page = await backend.store.read_feed(feed, page.cursor, limit)
    return events


async def feed_with_events(backend: Backend) -> str:
    """Return the feed that holds the only stream there is."""
    (feed,) = [feed for feed in await backend.store.feeds() if (await backend.store.read_feed(feed)).events]
    return feed


async def test_what_is_appended_is_what_is_read(backend: Backend, note: Note) -> None:
    appended = await backend.store.append("run/1/2", [note("a"), note("b")], expected_version=0)
    assert await backend.store.read("run/1/2") == appended
    assert [(event.id, event.version) for event in appended] == [("run/1/2@1", 1), ("run/1/2@2", 2)]
    assert len({event.commitid for event in appended}) == 1
    first = appended[0]
    assert (first.source, first.subject, first.correlationid) == ("/zekt/test", "1/2", "1/2")
    assert (first.causationid, first.accountid) == ("cause", "7")
    assert first.traceparent == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


MUCH = pytest.param("x" * 1_000_000, id="much")  # as a test's name it would leave processes no room to start


@pytest.mark.parametrize("text", ["", "'; DROP TABLE events; --", '"quoted" \\ \x00 \n', "Zürich 北京 🚚", MUCH])
async def test_any_text_survives(backend: Backend, note: Note, text: str) -> None:
    appended = await backend.store.append("run/1/2", [note(text)], expected_version=0)
    assert await backend.store.read("run/1/2") == appended
    assert await all_events(backend) == appended


async def test_an_append_at_the_wrong_version_conflicts_and_writes_nothing(backend: Backend, note: Note) -> None:
    await backend.store.append("run/1/2", [note("a")], expected_version=0)
    for wrong in (0, 2, 7):
        with pytest.raises(StreamConflict) as conflict:
            await backend.store.append("run/1/2", [note("b"), note("c")], expected_version=wrong)
        assert (conflict.value.stream, conflict.value.expected, conflict.value.actual) == ("run/1/2", wrong, 1)
    assert [event.version for event in await backend.store.read("run/1/2")] == [1]


async def test_a_stream_that_does_not_exist_is_at_version_0(backend: Backend, note: Note) -> None:
    assert await backend.store.read("run/1/2") == []
    with pytest.raises(StreamConflict):
        await backend.store.append("run/1/2", [note("a")], expected_version=1)
    assert await all_events(backend) == []


async def test_appending_nothing_changes_nothing(backend: Backend) -> None:
    assert await backend.store.append("run/1/2", [], expected_version=0) == []
    assert await all_events(backend) == []


async def test_a_long_append_is_whole(backend: Backend, note: Note) -> None:
    await backend.store.append("run/1/2", [note(str(n)) for n in range(99)], expected_version=0)
    assert [event.version for event in await backend.store.read("run/1/2")] == list(range(1, 100))


async def test_an_append_of_100_events_is_refused_and_stores_nothing(backend: Backend, note: Note) -> None:
    await backend.store.append("run/1/2", [note("a")], expected_version=0)
    with pytest.raises(AppendTooLarge, match="100 events"):
        await backend.store.append("run/1/2", [note("b")] * 100, expected_version=1)
    assert [event.version for event in await all_events(backend)] == [1]


def filled(note: Note, letter: str, times: int, over: int = 0) -> list[NewEvent]:
    """Return this many events that together weigh as much as an append may, or more."""
    empty, one = weight(note("").body), weight(note(letter).body)
    letters, rest = divmod(MAX_BYTES // times - empty, one - empty)
    text = letter * letters + "x" * rest
    missing = MAX_BYTES - times * weight(note(text).body) + over
    return [*[note(text)] * (times - 1), note(text + "x" * missing)]


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize("letter", ["x", '"', "ü", "北", "🚚"])
@pytest.mark.parametrize("times", [1, 99])
async def test_an_append_of_2_mb_is_taken_and_of_a_byte_more_refused_whatever_the_text(
    backend: Backend, note: Note, letter: str, times: int
) -> None:
    stream = "r" * 84
    with pytest.raises(AppendTooLarge, match="2 MB"):
        await backend.store.append(stream, filled(note, letter, times, over=1), expected_version=0)
    assert await all_events(backend) == []
    appended = await backend.store.append(stream, filled(note, letter, times), expected_version=0)
    assert await backend.store.read(stream) == appended


async def test_reading_after_a_version_skips_what_is_known(backend: Backend, note: Note) -> None:
    await backend.store.append("run/1/2", [note("a"), note("b"), note("c")], expected_version=0)
    assert [event.version for event in await backend.store.read("run/1/2", after=1)] == [2, 3]
    assert await backend.store.read("run/1/2", after=3) == []


@pytest.mark.parametrize("stream", ["", "/run", "run 1", "run\n", "rün/1", "r" * 85])
async def test_a_name_outside_the_allowed_set_is_refused(backend: Backend, note: Note, stream: str) -> None:
    with pytest.raises(InvalidStream):
        await backend.store.append(stream, [note("a")], expected_version=0)


async def test_streams_whose_names_begin_alike_are_apart(backend: Backend, note: Note) -> None:
    await backend.store.append("run/1", [note("a")], expected_version=0)
    await backend.store.append("run/1/2", [note("b")], expected_version=0)
    await backend.store.append("RUN/1", [note("c")], expected_version=0)
    assert [len(await backend.store.read(stream)) for stream in ("run/1", "run/1/2", "RUN/1", "run")] == [1, 1, 1, 0]


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
async def test_the_feeds_hold_every_event_once_in_stream_order(backend: Backend, note: Note, limit: int) -> None:
    for version in range(5):
        for stream in ("run/1", "run/2"):
            await backend.store.append(stream, [note("x")], expected_version=version)
    events = await all_events(backend, limit)
    for stream in ("run/1", "run/2"):
        assert [event.version for event in events if event.stream == stream] == [1, 2, 3, 4, 5]
    assert len(events) == 10


async def test_an_empty_page_keeps_the_cursor(backend: Backend, note: Note) -> None:
    for feed in await backend.store.feeds():
        assert (await backend.store.read_feed(feed)).cursor == ""
    await backend.store.append("run/1", [note("a")], expected_version=0)
    feed = await feed_with_events(backend)
    page = await backend.store.read_feed(feed)
    again = await backend.store.read_feed(feed, page.cursor)
    assert (again.events, again.cursor) == ([], page.cursor)


async def test_time_never_runs_backwards_along_a_stream(backend: Backend, note: Note, clock: Any) -> None:
    for version in range(10):
        await backend.store.append("run/1", [note("x")], expected_version=version)
        clock.advance(-0.1 if version % 3 else 0.1)
    times = [event.time for event in await all_events(backend)]
    assert times == sorted(times)


async def test_a_cursor_at_a_moment_comes_before_all_events_from_then_on(
    backend: Backend, note: Note, clock: Any
) -> None:
    times = []
    for version in range(9):
        (event,) = await backend.store.append("run/1", [note("x")], expected_version=version)
        times.append(event.time)
        clock.advance(1)
    feed = await feed_with_events(backend)
    tick = timedelta(microseconds=1)
    for moment in (times[0] - tick, times[0], times[4] - tick, times[4], times[4] + tick, times[8] + tick):
        page = await backend.store.read_feed(feed, await backend.store.cursor_at(feed, moment))
        assert [event.time for event in page.events] == [time for time in times if time >= moment]


async def test_waiting_ends_when_an_event_comes(backend: Backend, note: Note) -> None:
    feeds = await backend.store.feeds()
    waiting = [asyncio.create_task(backend.store.wait(feed, "", timeout_s=30)) for feed in feeds]
    await asyncio.sleep(0)
    await backend.store.append("run/1", [note("a")], expected_version=0)
    woken, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for other in others:
        other.cancel()
    assert [await each for each in woken] == [True]


async def test_waiting_ends_at_once_for_an_event_that_is_there(backend: Backend, note: Note) -> None:
    await backend.store.append("run/1", [note("a")], expected_version=0)
    assert await backend.store.wait(await feed_with_events(backend), "", timeout_s=0)


async def test_waiting_ends_without_an_event_at_the_time_out(backend: Backend, note: Note) -> None:
    await backend.store.append("run/1", [note("a")], expected_version=0)
    feed = await feed_with_events(backend)
    cursor = (await backend.store.read_feed(feed)).cursor
    assert not await backend.store.wait(feed, cursor, timeout_s=0.02)


async def test_waiting_ends_at_the_time_out_though_something_else_is_written_all_the_time(
    backend: Backend, note: Note
) -> None:
    await backend.store.append("run/1", [note("a")], expected_version=0)
    feed = await feed_with_events(backend)
    cursor = (await backend.store.read_feed(feed)).cursor
    writing = asyncio.create_task(write_views(backend))
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert not await backend.store.wait(feed, cursor, timeout_s=0.5)
    finally:
        writing.cancel()
        await asyncio.wait([writing])


async def write_views(backend: Backend) -> None:
    while True:
        await backend.views.write([Put(partition="watermarks", id="ingress", body=b"{}")], durable=False)
        await asyncio.sleep(0.05)


async def test_every_later_commit_is_stamped_after_the_horizon(backend: Backend, note: Note) -> None:
    await backend.store.append("run/1", [note("a")], expected_version=0)
    horizon = await backend.store.horizon()
    (after,) = await backend.store.append("run/1", [note("b")], expected_version=1)
    (other,) = await backend.store.append("run/2", [note("b")], expected_version=0)
    assert horizon < min(after.time, other.time)


async def test_the_horizon_passes_every_event_in_time(backend: Backend, note: Note, clock: Any) -> None:
    (event,) = await backend.store.append("run/1", [note("a")], expected_version=0)
    clock.advance(timedelta(days=3000).total_seconds() if WANTED else HORIZON_PASSES_IN_S)
    assert event.time <= await backend.store.horizon()


async def test_what_a_page_says_to_lie_before_it_does(backend: Backend, note: Note, clock: Any) -> None:
    began = clock()
    for version in range(6):
        for stream in ("run/1", "run/2"):
            await backend.store.append(stream, [note("x"), note("y")], expected_version=2 * version)
        clock.advance(1 if WANTED else HORIZON_PASSES_IN_S / 3)
    claims = 0
    for feed in await backend.store.feeds():
        cursor = ""
        while (page := await backend.store.read_feed(feed, cursor, 3)).events:
            cursor = page.cursor
            rest = (await backend.store.read_feed(feed, cursor)).events
            assert all(event.time >= page.through for event in rest)
            claims += page.through > began
    assert claims or WANTED, "who claims nothing is never wrong"


async def test_what_is_stamped_up_to_the_horizon_can_be_read(backend: Backend, note: Note, clock: Any) -> None:
    (before,) = await backend.store.append("run/before", [note("x")], expected_version=0)
    clock.advance(1 if WANTED else HORIZON_PASSES_IN_S)
    writers = [backend.store.append(f"run/{n}", [note("x")], expected_version=0) for n in range(50)]
    appending = asyncio.gather(*writers)
    horizon = await backend.store.horizon()
    readable = {event.id for event in await all_events(backend)}
    appended = [before, *(event for (event,) in await appending)]
    assert before.time <= horizon or WANTED
    assert {event.id for event in appended if event.time <= horizon} <= readable


async def test_of_64_appends_at_one_version_one_wins(backend: Backend, note: Note) -> None:
    async def attempt(writer: int) -> bool:
        try:
            await backend.store.append("run/1", [note(str(writer))], expected_version=0)
        except StreamConflict:
            return False
        return True

    won = await asyncio.gather(*(attempt(writer) for writer in range(64)))
    assert won.count(True) == 1
    assert len(await backend.store.read("run/1")) == 1


async def test_64_writers_on_one_stream_leave_no_gap_and_lose_nothing(backend: Backend, note: Note) -> None:
    async def write(writer: int) -> None:
        while True:
            version = len(await backend.store.read("run/1"))
            try:
                await backend.store.append("run/1", [note(str(writer))], expected_version=version)
            except StreamConflict:
                continue
            return

    await asyncio.gather(*(write(writer) for writer in range(64)))
    events = await backend.store.read("run/1")
    assert [event.version for event in events] == list(range(1, 65))
    assert len({bytes(event.data) for event in events}) == 64


async def test_a_reopened_store_goes_on_where_it_was(open_engine: Any, tmp_path: Path, note: Note, clock: Any) -> None:
    async with open_engine(tmp_path, clock) as backend:
        first = await backend.store.append("run/1", [note("a")], expected_version=0)
    clock.advance(-0.5)
    async with open_engine(tmp_path, clock) as backend:
        second = await backend.store.append("run/1", [note("b")], expected_version=1)
        assert await backend.store.read("run/1") == first + second
        assert first[0].time <= second[0].time
