"""Leases whose holders die, are cut off, or stop renewing."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from libs.common.tests.cosmos.account import SERVICE
from libs.common.tests.patience import PATIENCE_S

from zekt_common.adapters.cosmos_client import CosmosDatabase
from zekt_common.adapters.cosmos_leases import PARTITION, CosmosLeases
from zekt_common.adapters.cosmos_topology import views_of
from zekt_common.adapters.cosmos_views import CosmosViews
from zekt_common.errors import BackendUnavailable, LeaseLost
from zekt_common.ports import Document, Leases, Put, Remove, Views

GOOD_FOR_S = 0.9
LONG_S = 6.0
"""Good for longer than a busy machine stands still."""
FOR_EVER_S = 100 * PATIENCE_S


def machine(database: CosmosDatabase, good_for_s: float = GOOD_FOR_S) -> CosmosLeases:
    return CosmosLeases(CosmosViews(database.container(views_of(SERVICE))), good_for_s=good_for_s)


@asynccontextmanager
async def taken_over(database: CosmosDatabase) -> AsyncIterator[None]:
    """Enter once the lease has passed on; by when the block ends a busy machine may have lost it again."""
    with suppress(LeaseLost):
        async with asyncio.timeout(PATIENCE_S), machine(database).hold("relay/ingress"):
            yield


class Holder:
    """Holds the lease for as long as it may."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self.held, self.stopped = asyncio.Event(), asyncio.Event()

    async def hold(self) -> None:
        async with self._leases.hold("relay/ingress"):
            self.held.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.stopped.set()


class Wire:
    """The views, until they are cut off."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self.is_cut = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._views, name)

    async def get(self, partition: str, id_: str, /) -> Document | None:
        self._check()
        return await self._views.get(partition, id_)

    async def write(self, changes: Sequence[Put | Remove], /, *, durable: bool = True) -> list[str]:
        self._check()
        return await self._views.write(changes, durable=durable)

    def _check(self) -> None:
        if self.is_cut:
            raise BackendUnavailable("cut off")


async def test_a_lease_is_kept_for_longer_than_one_renewal_is_good_for(database: CosmosDatabase) -> None:
    async with machine(database, LONG_S).hold("relay/ingress"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.3 * LONG_S), machine(database, LONG_S).hold("relay/ingress"):
                pass


async def test_a_dead_holders_lease_passes_on(database: CosmosDatabase, views: CosmosViews) -> None:
    await views.write([Put(partition=PARTITION, id="relay/ingress", body=b'{"holder":"one that died"}')])
    began = time.monotonic()
    async with taken_over(database):
        taken = time.monotonic()
    assert taken - began > GOOD_FOR_S


async def test_a_holder_that_is_cut_off_stops_before_its_lease_passes_on(
    database: CosmosDatabase, views: CosmosViews
) -> None:
    wire: Any = Wire(views)
    holder = Holder(CosmosLeases(wire, good_for_s=GOOD_FOR_S))
    holding = asyncio.create_task(holder.hold())
    await holder.held.wait()
    wire.is_cut = True
    async with taken_over(database):
        assert holder.stopped.is_set()
    with pytest.raises(LeaseLost):
        await holding


async def test_a_holder_whose_lease_was_taken_stops_before_its_last_renewal_has_run_out(
    database: CosmosDatabase, views: CosmosViews
) -> None:
    holder = Holder(machine(database, FOR_EVER_S))
    holding = asyncio.create_task(holder.hold())
    await holder.held.wait()
    await views.write([Put(partition=PARTITION, id="relay/ingress", body=b'{"holder":"another"}')])
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(LeaseLost):
            await holding


async def test_an_error_in_the_block_is_the_blocks_own(database: CosmosDatabase) -> None:
    with pytest.raises(TimeoutError, match="of the block"):
        async with machine(database, FOR_EVER_S).hold("relay/ingress"):
            raise TimeoutError("of the block")
