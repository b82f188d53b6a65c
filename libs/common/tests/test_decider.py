"""`transact`: load, fold, decide, append; on a real store whose races somebody else wins."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from zekt_common.adapters.embedded import Backend, open_backend
from zekt_common.decider import ATTEMPTS, Decider, load, transact
from zekt_common.envelope import Envelope, Event, NewEvent
from zekt_common.errors import StreamConflict
from zekt_common.schemas import Schemas

STREAM = "tally/1"


class Added(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.added"
    n: int


def decide(total: int, at_least: int) -> list[Event]:
    """Have the total be at least so much, in two steps where one is missing."""
    missing = at_least - total
    return [Added(n=missing - 1), Added(n=1)] if missing > 0 else []


def evolve(total: int, event: Event) -> int:
    return total + event.n if isinstance(event, Added) else total


TALLY: Decider[int, int] = Decider(0, decide, evolve, Schemas([Added]))


def wrap(bodies: Sequence[Event]) -> list[NewEvent]:
    return [NewEvent(body=body, source="test", subject="1", correlationid="1", causationid="1") for body in bodies]


class LosingStore:
    """A store in which somebody else adds 1 right before so many appends."""

    def __init__(self, backend: Backend, losses: int) -> None:
        self._store = backend.store
        self.left = losses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, stream: str, events: Sequence[NewEvent], /, *, expected_version: int) -> list[Envelope]:
        if self.left:
            self.left -= 1
            await self._store.append(stream, wrap([Added(n=1)]), expected_version=expected_version)
        return await self._store.append(stream, events, expected_version=expected_version)


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    async with open_backend(tmp_path, "ingress") as opened:
        yield opened


async def test_what_is_decided_is_appended_at_once_and_the_state_after_it_returned(backend: Backend) -> None:
    outcome = await transact(backend.store, TALLY, STREAM, 5, wrap)
    assert (outcome.state, outcome.version) == (5, 2)
    assert outcome.appended == await backend.store.read(STREAM)
    assert len({event.commitid for event in outcome.appended}) == 1
    assert await load(backend.store, TALLY, STREAM) == (5, 2)


async def test_deciding_nothing_appends_nothing(backend: Backend) -> None:
    await transact(backend.store, TALLY, STREAM, 5, wrap)
    outcome = await transact(LosingStore(backend, ATTEMPTS), TALLY, STREAM, 3, wrap)
    assert (outcome.state, outcome.version, outcome.appended) == (5, 2, [])
    assert len(await backend.store.read(STREAM)) == 2


@pytest.mark.parametrize("losses", range(ATTEMPTS))
async def test_the_loser_of_a_race_decides_again_on_what_the_winner_left(backend: Backend, losses: int) -> None:
    outcome = await transact(LosingStore(backend, losses), TALLY, STREAM, 5, wrap)
    assert (outcome.state, outcome.version) == (5, losses + 2)
    added = [TALLY.schemas.decode(event) for event in await backend.store.read(STREAM)]
    assert added == [*[Added(n=1)] * losses, Added(n=4 - losses), Added(n=1)]


async def test_a_loser_who_finds_it_done_appends_nothing(backend: Backend) -> None:
    outcome = await transact(LosingStore(backend, 1), TALLY, STREAM, 1, wrap)
    assert (outcome.state, outcome.version, outcome.appended) == (1, 1, [])


async def test_after_three_losses_the_conflict_is_raised(backend: Backend) -> None:
    losing = LosingStore(backend, ATTEMPTS + 1)
    with pytest.raises(StreamConflict) as conflict:
        await transact(losing, TALLY, STREAM, 100, wrap)
    assert (conflict.value.expected, conflict.value.actual) == (2, 3)
    assert losing.left == 1, "it was tried three times, no more and no less"
    assert await load(backend.store, TALLY, STREAM) == (3, 3)
