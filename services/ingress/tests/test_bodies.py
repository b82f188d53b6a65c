"""How many bytes of large bodies are in memory at once."""

import asyncio

import pytest

from zekt_common.kit.errors import Refusal
from zekt_ingress.bodies import Room


async def test_who_finds_no_room_in_time_is_told_to_come_again() -> None:
    room = Room(100, within_s=0.01)
    async with room.hold(80):
        with pytest.raises(Refusal) as refused:
            async with room.hold(30):
                pass
    assert refused.value.status == 503
    assert refused.value.headers == {"Retry-After": "5"}
    async with room.hold(100):
        pass


async def test_room_goes_to_the_first_who_came_and_comes_back_whatever_happens() -> None:
    room, entered = Room(100, within_s=10), []

    async def read(name: str, size_bytes: int) -> None:
        async with room.hold(size_bytes):
            entered.append(name)
            raise ConnectionResetError

    async with room.hold(60):
        waiting = [asyncio.create_task(read(name, size)) for name, size in (("large", 80), ("small", 20))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not entered
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionResetError] * 2
    assert entered == ["large", "small"]


async def test_giving_up_a_wait_takes_no_room() -> None:
    room = Room(100, within_s=10)
    async with room.hold(100):
        waiting = asyncio.create_task(room.hold(1).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with room.hold(100):
        pass
