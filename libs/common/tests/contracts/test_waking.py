"""How soon another process on this machine notices what was stored or published."""

import math
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from libs.common.tests.contracts.children import StartChild, told

from zekt_common.clock import utc_now
from zekt_common.envelope import Envelope, NewEvent
from zekt_common.ports import OutgoingMessage

pytestmark = pytest.mark.slow

WAKES = 50
SERIES = 6
"""So many are taken at most, until one is quick enough: machines are busy for a while, and slow code is slow always."""
ALLOWED_S = 0.005

Delay = Callable[[int], Awaitable[float]]


async def typical(delay: Delay) -> float:
    """Return the delay that half of the wake-ups do not exceed, of the best series."""
    best = math.inf
    for series in range(SERIES):
        delays = [await delay(series * WAKES + n) for n in range(WAKES)]
        best = min(best, statistics.median(delays))
        if best < ALLOWED_S:
            break
    return best


async def test_a_waiting_relay_in_another_process_wakes_within_5_ms(
    start: StartChild, open_engine: Any, tmp_path: Path, note: Callable[..., NewEvent]
) -> None:
    watcher = await start("watch", "")
    assert await told(watcher) == "watching"
    async with open_engine(tmp_path, utc_now) as backend:

        async def delay(n: int) -> float:
            await backend.store.append("run/1", [note("x")], expected_version=n)
            committed = time.monotonic()
            return float(await told(watcher)) - committed

        assert await typical(delay) < ALLOWED_S


async def test_a_waiting_consumer_in_another_process_wakes_within_5_ms(
    start: StartChild, open_engine: Any, tmp_path: Path, envelope: Callable[..., Envelope]
) -> None:
    listener = await start("listen", "")
    assert await told(listener) == "watching"
    async with open_engine(tmp_path, utc_now) as backend:

        async def delay(n: int) -> float:
            await backend.bus.publish("ingress", [OutgoingMessage(envelope=envelope(f"run/{n}"))])
            committed = time.monotonic()
            return float(await told(listener)) - committed

        assert await typical(delay) < ALLOWED_S
