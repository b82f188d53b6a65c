import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.common.tests.patience import PATIENCE_S
from structlog.testing import capture_logs

from zekt_common.adapters.embedded import Backend
from zekt_common.kit.sweeper import Sweeper, due, undue

Start = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Hands:
    """A clock to set, and a `fire` that notes what was fired and answers as told."""

    def __init__(self) -> None:
        self.now = NOON
        self.fired: asyncio.Queue[str] = asyncio.Queue()
        self.answers: dict[str, list[bool | Exception]] = {}

    def clock(self) -> datetime:
        return self.now

    async def fire(self, stream: str) -> bool:
        self.fired.put_nowait(stream)
        answers = self.answers.get(stream)
        answer = answers.pop(0) if answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def next(self) -> str:
        async with asyncio.timeout(PATIENCE_S):
            return await self.fired.get()


def sweeper(backend: Backend, fire: Callable[[str], Coroutine[Any, Any, bool]], now: Callable[[], datetime]) -> Sweeper:
    return Sweeper(backend.views, backend.leases, name="test", fire=fire, now=now, concurrency=4, interval_s=0.02)


async def set_due(backend: Backend, stream: str, seconds: float) -> None:
    await backend.views.write([due(stream, NOON + timedelta(seconds=seconds))])


async def until_none_due(backend: Backend) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await backend.views.listing("due"):  # noqa: ASYNC110 - another writer's doing
            await asyncio.sleep(0.005)


async def test_due_streams_fire_in_the_order_of_their_times_and_once(backend: Backend, start: Start) -> None:
    hands = Hands()
    for stream, seconds in (("run/c", -1.0), ("run/a", -3.0), ("run/b", -2.0)):
        await set_due(backend, stream, seconds)
    start(sweeper(backend, hands.fire, hands.clock).run())
    assert [await hands.next() for _ in range(3)] == ["run/a", "run/b", "run/c"]
    await until_none_due(backend)
    assert hands.fired.empty()


async def test_nothing_fires_before_its_time_comes_by_the_given_clock(backend: Backend, start: Start) -> None:
    hands = Hands()
    await set_due(backend, "run/early", 10)
    await set_due(backend, "run/late", 20)
    sweeping = sweeper(backend, hands.fire, hands.clock)
    start(sweeping.run())
    hands.now = NOON + timedelta(seconds=10)
    sweeping.nudge()
    assert await hands.next() == "run/early"
    hands.now = NOON + timedelta(seconds=20)
    sweeping.nudge()
    assert await hands.next() == "run/late"


async def test_a_stream_set_due_while_the_sweeper_runs_fires(backend: Backend, start: Start) -> None:
    hands = Hands()
    start(sweeper(backend, hands.fire, hands.clock).run())
    await set_due(backend, "run/1", -1)
    assert await hands.next() == "run/1"


async def test_what_was_taken_back_does_not_fire(backend: Backend, start: Start) -> None:
    hands = Hands()
    await set_due(backend, "run/1", -2)
    await set_due(backend, "run/2", -1)
    await backend.views.write([undue("run/1", NOON - timedelta(seconds=2))])
    start(sweeper(backend, hands.fire, hands.clock).run())
    assert await hands.next() == "run/2"


async def test_a_stream_that_is_not_done_is_looked_at_again(backend: Backend, start: Start) -> None:
    hands = Hands()
    hands.answers["run/1"] = [False, False]
    await set_due(backend, "run/1", -1)
    start(sweeper(backend, hands.fire, hands.clock).run())
    assert [await hands.next() for _ in range(3)] == ["run/1"] * 3
    await until_none_due(backend)


async def test_a_stream_that_fails_is_tried_again_and_holds_nobody_up(backend: Backend, start: Start) -> None:
    hands = Hands()
    hands.answers["run/bad"] = [ValueError("secret")]
    await set_due(backend, "run/bad", -2)
    await set_due(backend, "run/good", -1)
    with capture_logs() as logs:
        start(sweeper(backend, hands.fire, hands.clock).run())
        assert [await hands.next() for _ in range(3)] == ["run/bad", "run/good", "run/bad"]
    await until_none_due(backend)
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["sweeper_fire_failed"]
    assert "secret" not in str(logs)


async def test_more_streams_than_there_is_room_for_all_fire_with_bounded_concurrency(
    backend: Backend, start: Start
) -> None:
    hands, running, most = Hands(), 0, 0

    async def slow(stream: str) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return await hands.fire(stream)

    await backend.views.write([due(f"run/{n}", NOON - timedelta(seconds=n)) for n in range(450)])
    start(sweeper(backend, slow, hands.clock).run())
    await until_none_due(backend)
    fired = [hands.fired.get_nowait() for _ in range(hands.fired.qsize())]
    assert sorted(fired) == sorted(f"run/{n}" for n in range(450))
    assert most <= 4


async def test_one_stream_due_twice_is_never_fired_twice_at_once(backend: Backend, start: Start) -> None:
    hands, inside, overlaps = Hands(), False, 0
    gate = asyncio.Event()

    async def guarded(stream: str) -> bool:
        nonlocal inside, overlaps
        overlaps += inside
        inside = True
        await gate.wait()
        inside = False
        return await hands.fire(stream)

    await set_due(backend, "run/1", -2)
    await set_due(backend, "run/1", -1)
    sweeping = sweeper(backend, guarded, hands.clock)
    start(sweeping.run())
    async with asyncio.timeout(PATIENCE_S):
        while sweeping.in_flight == 0:  # noqa: ASYNC110 - a counter, not an event
            await asyncio.sleep(0.005)
    gate.set()
    await until_none_due(backend)
    assert (hands.fired.qsize(), overlaps) == (2, 0)


async def test_a_stream_set_due_anew_at_the_same_time_while_it_fires_is_fired_again(
    backend: Backend, start: Start
) -> None:
    hands = Hands()

    async def resets_once(stream: str) -> bool:
        if hands.fired.empty():
            await set_due(backend, stream, -1)
        return await hands.fire(stream)

    await set_due(backend, "run/1", -1)
    start(sweeper(backend, resets_once, hands.clock).run())
    await until_none_due(backend)
    assert hands.fired.qsize() == 2


async def test_many_that_are_not_done_do_not_hide_the_one_behind_them(backend: Backend, start: Start) -> None:
    hands = Hands()
    stuck = [f"run/{n}" for n in range(300)]
    hands.answers = {stream: [False] * 1000 for stream in stuck}
    await backend.views.write([due(stream, NOON - timedelta(seconds=60)) for stream in stuck])
    await set_due(backend, "run/behind", -1)
    start(sweeper(backend, hands.fire, hands.clock).run())
    while await hands.next() != "run/behind":
        continue
    assert {document.id.split(":")[1] for document in await backend.views.listing("due", limit=1000)} >= set(stuck)


async def test_of_two_sweepers_one_fires_and_the_other_takes_over_from_it(backend: Backend, start: Start) -> None:
    first, second = Hands(), Hands()
    at_work = start(sweeper(backend, first.fire, first.clock).run())
    await set_due(backend, "run/1", -1)
    assert await first.next() == "run/1"
    start(sweeper(backend, second.fire, second.clock).run())
    await set_due(backend, "run/2", -1)
    assert await first.next() == "run/2"
    await until_none_due(backend)
    at_work.cancel()
    await set_due(backend, "run/3", -1)
    assert await second.next() == "run/3"


async def test_a_drained_sweeper_finishes_what_it_fired_and_fires_nothing_more(backend: Backend, start: Start) -> None:
    hands = Hands()
    gate, begun = asyncio.Event(), asyncio.Event()

    async def held(stream: str) -> bool:
        begun.set()
        await gate.wait()
        return await hands.fire(stream)

    await set_due(backend, "run/1", -1)
    sweeping = sweeper(backend, held, hands.clock)
    running = start(sweeping.run())
    await begun.wait()
    draining = asyncio.create_task(sweeping.drain(within_s=PATIENCE_S))
    await set_due(backend, "run/2", -1)
    gate.set()
    await draining
    await running
    assert hands.fired.qsize() == 1
    assert [document.id.split(":")[1] for document in await backend.views.listing("due")] == ["run/2"]


async def test_a_drain_gives_up_what_does_not_finish_and_keeps_it_due(backend: Backend, start: Start) -> None:
    begun = asyncio.Event()

    async def never(_: str) -> bool:
        begun.set()
        return await asyncio.Event().wait()

    await set_due(backend, "run/1", -1)
    sweeping = sweeper(backend, never, lambda: NOON)
    start(sweeping.run())
    await begun.wait()
    await sweeping.drain(within_s=0.05)
    assert sweeping.in_flight == 0
    assert len(await backend.views.listing("due")) == 1
