"""How much may be under way at once: in all, per installation and per target repository; and who has to pause.

One slow or limited installation never takes all the slots. After a pause an installation starts with one attempt at a
time and doubles with each that succeeds.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

WAIT_S: Final = 0.25


class Permit:
    """A slot; give it back with `release`."""

    def __init__(self, budgets: "Budgets", installation_id: int, repository_id: int) -> None:
        self._budgets = budgets
        self.installation_id = installation_id
        self.repository_id = repository_id

    def release(self) -> None:
        """Give the slot back; the next in line gets it."""
        self._budgets.give_back(self)


class Budgets:
    """Slots for `concurrency` attempts, at most three quarters of them one installation's and half one repository's."""

    def __init__(self, concurrency: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._all = concurrency
        self._per_installation = max(1, concurrency * 3 // 4)
        self._per_repository = max(1, concurrency // 2)
        self._monotonic = monotonic
        self._taken = 0
        self._installations: Counter[int] = Counter()
        self._repositories: Counter[int] = Counter()
        self._paused_until: dict[int, float] = {}
        self._careful: dict[int, int] = {}
        self._waiting: list[tuple[asyncio.Future[Permit], Permit]] = []

    @property
    def taken(self) -> int:
        """How many slots are in use."""
        return self._taken

    @property
    def pausing(self) -> int:
        """How many installations may begin nothing at present."""
        now = self._monotonic()
        return sum(until > now for until in list(self._paused_until.values()))

    def pause(self, installation_id: int, seconds: float) -> None:
        """Let the installation begin nothing for so long; a longer pause stays."""
        until = self._monotonic() + seconds
        self._paused_until[installation_id] = max(until, self._paused_until.get(installation_id, until))
        self._careful[installation_id] = 1

    def paused_for_s(self, installation_id: int) -> float:
        """Return for how long the installation still pauses; 0 when it does not."""
        until = self._paused_until.get(installation_id)
        if until is None:
            return 0.0
        left_s = until - self._monotonic()
        if left_s <= 0:
            del self._paused_until[installation_id]
        return max(left_s, 0.0)

    def succeeded(self, installation_id: int) -> None:
        """Trust the installation with twice as much, if it had been limited."""
        careful = self._careful.get(installation_id)
        if careful is None:
            return
        if careful * 2 >= self._per_installation:
            del self._careful[installation_id]
        else:
            self._careful[installation_id] = careful * 2

    async def acquire(self, installation_id: int, repository_id: int, *, within_s: float = WAIT_S) -> Permit | None:
        """Return a slot, or None if none is free for this installation and repository in time, or it pauses."""
        permit = Permit(self, installation_id, repository_id)
        if self._fits(permit):
            return self._take(permit)
        future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        entry = (future, permit)
        self._waiting.append(entry)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    return await future
        except asyncio.CancelledError:
            if _is_granted(future):
                permit.release()
            raise
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)
        return permit if _is_granted(future) else None

    def give_back(self, permit: Permit) -> None:
        """Free the permit's slot, and give slots to those who wait, oldest first."""
        self._taken -= 1
        for counter, key in self._counters(permit):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]
        for entry in list(self._waiting):
            future, waiting = entry
            if self._taken >= self._all:
                return
            if not future.done() and self._fits(waiting):
                self._waiting.remove(entry)
                future.set_result(self._take(waiting))

    def _fits(self, permit: Permit) -> bool:
        allowed = self._careful.get(permit.installation_id, self._per_installation)
        return (
            self._taken < self._all
            and self._installations[permit.installation_id] < allowed
            and self._repositories[permit.repository_id] < self._per_repository
            and self.paused_for_s(permit.installation_id) == 0
        )

    def _take(self, permit: Permit) -> Permit:
        self._taken += 1
        for counter, key in self._counters(permit):
            counter[key] += 1
        return permit

    def _counters(self, permit: Permit) -> Iterator[tuple[Counter[int], int]]:
        yield self._installations, permit.installation_id
        yield self._repositories, permit.repository_id


def _is_granted(future: asyncio.Future[Permit]) -> bool:
    return future.done() and not future.cancelled()
