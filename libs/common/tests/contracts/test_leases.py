import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from zekt_common.adapters.embedded import Backend


async def is_free(backend: Backend, name: str) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60), backend.leases.hold(name):
            return True
    return False


async def hold(backend: Backend, name: str, held: asyncio.Event, let_go: asyncio.Event) -> None:
    async with backend.leases.hold(name):
        held.set()
        await let_go.wait()


async def test_a_lease_has_one_holder_at_a_time(backend: Backend) -> None:
    holders = most = 0

    async def work() -> None:
        nonlocal holders, most
        async with backend.leases.hold("relay/ingress"):
            holders += 1
            most = max(most, holders)
            await asyncio.sleep(0)
            holders -= 1

    await asyncio.gather(*(work() for _ in range(3)))
    assert (holders, most) == (0, 1)


async def test_another_opening_waits_for_the_lease(open_engine: Any, tmp_path: Path, clock: Any) -> None:
    held, let_go = asyncio.Event(), asyncio.Event()
    async with open_engine(tmp_path, clock) as one, open_engine(tmp_path, clock) as other:
        holding = asyncio.create_task(hold(one, "relay/ingress", held, let_go))
        await held.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), other.leases.hold("relay/ingress"):
                pass
        let_go.set()
        async with asyncio.timeout(60), other.leases.hold("relay/ingress"):
            assert holding.done()


@pytest.mark.parametrize("other", ["relay.ingress", "relay%2Fingress", "relay", "ingress"])
async def test_leases_of_other_names_are_other_leases(backend: Backend, other: str) -> None:
    async with backend.leases.hold("relay/ingress"):
        assert await is_free(backend, other)


async def test_an_error_gives_the_lease_back(backend: Backend) -> None:
    with contextlib.suppress(ValueError):
        async with backend.leases.hold("relay/ingress"):
            raise ValueError
    assert await is_free(backend, "relay/ingress")


async def test_a_cancelled_wait_leaves_the_lease_to_others(backend: Backend) -> None:
    held, let_go = asyncio.Event(), asyncio.Event()
    holding = asyncio.create_task(hold(backend, "relay/ingress", held, let_go))
    await held.wait()
    waiting = asyncio.create_task(hold(backend, "relay/ingress", asyncio.Event(), let_go))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    let_go.set()
    await holding
    assert waiting.cancelled()
    assert await is_free(backend, "relay/ingress")
