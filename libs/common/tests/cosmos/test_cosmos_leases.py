"""Leases whose holders die, are cut off, or stop renewing."""

import asyncio
import time

import pytest
from libs.common.tests.cosmos.account import SERVICE

from zekt_common.adapters.cosmos_client import CosmosDatabase
from zekt_common.adapters.cosmos_leases import PARTITION, CosmosLeases
from zekt_common.adapters.cosmos_topology import views_of
from zekt_common.adapters.cosmos_views import CosmosViews
from zekt_common.errors import LeaseLost
from zekt_common.ports import Put
from zekt_sandbox.cosmos import CosmosSandbox

GOOD_FOR_S = 0.9


def machine(database: CosmosDatabase) -> CosmosLeases:
    return CosmosLeases(CosmosViews(database.container(views_of(SERVICE))), good_for_s=GOOD_FOR_S)


async def hold(database: CosmosDatabase, held: asyncio.Event) -> None:
    async with machine(database).hold("relay/ingress"):
        held.set()
        await asyncio.Event().wait()


async def test_a_lease_is_kept_for_longer_than_one_renewal_is_good_for(database: CosmosDatabase) -> None:
    async with machine(database).hold("relay/ingress"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3 * GOOD_FOR_S), machine(database).hold("relay/ingress"):
                pass


async def test_a_dead_holders_lease_passes_on(database: CosmosDatabase, views: CosmosViews) -> None:
    await views.write([Put(partition=PARTITION, id="relay/ingress", body=b'{"holder":"one that died"}')])
    began = time.monotonic()
    async with asyncio.timeout(10), machine(database).hold("relay/ingress"):
        assert time.monotonic() - began > GOOD_FOR_S


async def test_a_holder_that_is_cut_off_stops_before_its_lease_passes_on(
    database: CosmosDatabase, account: CosmosSandbox
) -> None:
    held = asyncio.Event()
    holding = asyncio.create_task(hold(database, held))
    await held.wait()
    began = time.monotonic()
    account.faults.begin_outage(60)
    with pytest.raises(LeaseLost):
        await holding
    assert time.monotonic() - began < GOOD_FOR_S + 3
    account.faults.clear()
    async with asyncio.timeout(10), machine(database).hold("relay/ingress"):
        pass


async def test_a_holder_whose_lease_was_taken_stops_at_once(database: CosmosDatabase, views: CosmosViews) -> None:
    held = asyncio.Event()
    holding = asyncio.create_task(hold(database, held))
    await held.wait()
    await views.write([Put(partition=PARTITION, id="relay/ingress", body=b'{"holder":"another"}')])
    async with asyncio.timeout(GOOD_FOR_S):
        with pytest.raises(LeaseLost):
            await holding


async def test_an_error_in_the_block_is_the_blocks_own(database: CosmosDatabase) -> None:
    with pytest.raises(TimeoutError, match="of the block"):
        async with machine(database).hold("relay/ingress"):
            raise TimeoutError("of the block")
