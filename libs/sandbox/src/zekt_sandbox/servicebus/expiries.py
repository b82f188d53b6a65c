"""Which of a queue's messages expire next."""

import heapq
from collections.abc import Collection

_KEPT_STALE = 64


class Expiries:
    """Sequence numbers by the time that their message expires at."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []

    def add(self, expires_at: float, sequence_number: int, present: Collection[int]) -> None:
        """Note when a message expires. Those that are not `present` any more are dropped once they are the most."""
        heapq.heappush(self._heap, (expires_at, sequence_number))
        if len(self._heap) > 2 * len(present) + _KEPT_STALE:
            self._heap = [noted for noted in self._heap if noted[1] in present]
            heapq.heapify(self._heap)

    @property
    def next_at(self) -> float | None:
        """When the next one expires."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[int]:
        """Take out those that have expired."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[1])
        return due

    def clear(self) -> None:
        """Forget all."""
        self._heap.clear()
