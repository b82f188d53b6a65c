import asyncio

import pytest

from zekt_dispatcher.budgets import Budgets, Permit


class Seconds:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def budgets(seconds: Seconds) -> Budgets:
    """Eight slots: six for one installation, four for one repository."""
    return Budgets(8, monotonic=seconds)


async def take(budgets: Budgets, installation_id: int, repository_id: int, count: int) -> list[Permit]:
    permits: list[Permit] = []
    while len(permits) < count:
        permit = await budgets.acquire(installation_id, repository_id, within_s=0)
        if permit is None:
            break
        permits.append(permit)
    return permits


async def test_one_repository_gets_half_of_the_slots(budgets: Budgets) -> None:
    assert len(await take(budgets, 1, 1, 8)) == 4


async def test_one_installation_leaves_a_quarter_of_the_slots_to_others(budgets: Budgets) -> None:
    taken = await take(budgets, 1, 1, 8) + await take(budgets, 1, 2, 8)
    assert len(taken) == 6
    assert len(await take(budgets, 2, 3, 8)) == 2
    assert budgets.taken == 8


async def test_a_freed_slot_goes_to_the_oldest_who_fits(budgets: Budgets) -> None:
    first, *_ = await take(budgets, 1, 1, 4)
    blocked = asyncio.create_task(budgets.acquire(1, 1, within_s=60))
    behind = asyncio.create_task(budgets.acquire(1, 1, within_s=60))
    await asyncio.sleep(0)
    first.release()
    assert isinstance(await blocked, Permit)
    assert not behind.done()
    behind.cancel()
    with pytest.raises(asyncio.CancelledError):
        await behind
    assert budgets.taken == 4


async def test_whoever_waits_too_long_gets_nothing_and_leaves_nothing(budgets: Budgets) -> None:
    permits = await take(budgets, 1, 1, 4)
    assert await budgets.acquire(1, 1, within_s=0.01) is None
    for permit in permits:
        permit.release()
    assert budgets.taken == 0
    assert len(await take(budgets, 1, 1, 8)) == 4


async def test_a_permit_granted_to_one_who_is_cancelled_is_given_back(budgets: Budgets) -> None:
    first, *_ = await take(budgets, 1, 1, 4)
    waiting = asyncio.create_task(budgets.acquire(1, 1, within_s=60))
    await asyncio.sleep(0)
    first.release()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert budgets.taken == 3


async def test_a_paused_installation_holds_up_nobody_else(budgets: Budgets, seconds: Seconds) -> None:
    budgets.pause(1, 60)
    budgets.pause(1, 10)
    assert budgets.paused_for_s(1) == 60
    assert await budgets.acquire(1, 1, within_s=0) is None
    assert len(await take(budgets, 2, 2, 1)) == 1
    seconds.now += 60
    assert budgets.paused_for_s(1) == 0


async def test_after_a_pause_an_installation_starts_with_one_and_doubles_with_each_success(
    budgets: Budgets, seconds: Seconds
) -> None:
    budgets.pause(1, 60)
    seconds.now += 61
    allowed = []
    for _ in range(4):
        permits = [*await take(budgets, 1, 1, 8), *await take(budgets, 1, 2, 8)]
        allowed.append(len(permits))
        for permit in permits:
            permit.release()
        budgets.succeeded(1)
    assert allowed == [1, 2, 4, 6]


async def test_a_single_slot_is_enough_to_work_with() -> None:
    budgets = Budgets(1)
    (permit,) = await take(budgets, 1, 1, 5)
    permit.release()
    assert len(await take(budgets, 2, 2, 5)) == 1
