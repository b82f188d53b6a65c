"""How soon another process on this machine notices what was stored or published."""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from libs.common.tests.contracts.children import StartChild, told

from zekt_common.clock import utc_now
from zekt_common.envelope import Envelope, NewEvent
from zekt_common.ports import OutgoingMessage

pytestmark = pytest.mark.slow

WAKES = 50


def typical(delays: Sequence[float]) -> float:
    """Return the delay that half of them do not exceed."""
    return statistics.median(delays)


async def test_a_waiting_relay_in_another_process_wakes_within_5_ms(
    start: StartChild, open_engine: Any, tmp_path: Path, note: Callable[..., NewEvent]
) -> None:
    watcher = await start("watch", "")
    assert await told(watcher) == "watching"
    async with open_engine(tmp_path, utc_now) as backend:
        delays = []
        for version in range(WAKES):
            await backend.store.append("run/1", [note("x")], expected_version=version)
            committed = time.monotonic()
            delays.append(float(await told(watcher)) - committed)
    assert typical(delays) < 0.005


async def test_a_waiting_consumer_in_another_process_wakes_within_5_ms(
    start: StartChild, open_engine: Any, tmp_path: Path, envelope: Callable[..., Envelope]
) -> None:
    listener = await start("listen", "")
    assert await told(listener) == "watching"
    async with open_engine(tmp_path, utc_now) as backend:
        delays = []
        for n in range(WAKES):
            await backend.bus.publish("ingress", [OutgoingMessage(envelope=envelope(f"run/{n}"))])
            committed = time.monotonic()
            delays.append(float(await told(listener)) - committed)
    assert typical(delays) < 0.005
