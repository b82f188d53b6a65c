import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cli.tests.copying.both_sides import tally_here
from cli.tests.test_provision import EMULATOR, SERVICES

from zekt_cli.copying.run import Report, copy, open_target
from zekt_cli.copying.tally import taken
from zekt_cli.provision.azure import provision
from zekt_cli.provision.schemas import READ
from zekt_common.adapters.azure_connections import connections
from zekt_common.adapters.azure_settings import AzureSettings
from zekt_common.adapters.sqlite_export import open_export
from zekt_common.kit.checkpoints import PARTITION
from zekt_sandbox.azurite import Azurite
from zekt_sandbox.cosmos import CosmosSandbox, serving

MORE_REQUESTS = 25


@pytest.fixture
async def account() -> AsyncIterator[CosmosSandbox]:
    async with serving(key_ranges=2) as sandbox:
        yield sandbox


@pytest.fixture
async def settings(account: CosmosSandbox, azurite: Azurite) -> AzureSettings:
    found = AzureSettings(
        servicebus_connection=EMULATOR,
        cosmos_endpoint=account.url,
        cosmos_key=account.key,
        blob_connection=azurite.connection_string,
    )
    async with connections(found) as ways:
        await provision(ways, dry_run=False)
    return found


async def copy_all(data_dir: Path, settings: AzureSettings) -> Report:
    async with open_export(data_dir, READ) as here, connections(settings) as ways, open_target(ways) as there:
        return await copy(here, there, dry_run=False)


async def after_requests(account: CosmosSandbox, count: int) -> None:
    until = account.requests.total() + count
    while account.requests.total() < until:  # noqa: ASYNC110 - the stand-in tells nobody
        await asyncio.sleep(0)


async def cut_short(data_dir: Path, settings: AzureSettings, account: CosmosSandbox, count: int) -> Report | None:
    """Copy until so many requests have come in; None when that was not enough."""
    copying = asyncio.create_task(copy_all(data_dir, settings))
    limit = asyncio.create_task(after_requests(account, count))
    await asyncio.wait([copying, limit], return_when=asyncio.FIRST_COMPLETED)
    limit.cancel()
    copying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        return await copying
    return None


async def check_same(data_dir: Path, settings: AzureSettings) -> None:
    async with connections(settings) as ways, open_target(ways) as target:
        for service in SERVICES:
            tally, ends = await taken(target.store(service))
            assert tally == await tally_here(data_dir, service)
            kept = await target.views(service).listing(PARTITION)
            assert {document.id for document in kept} == {
                f"{reader}/{feed}" for reader in (f"relay/{service}", "projector/things") for feed in ends
            }


async def test_wherever_it_is_cut_short_the_copy_goes_on_and_is_the_same_in_the_end(
    account: CosmosSandbox, settings: AzureSettings, data_dir: Path
) -> None:
    allowed, report = 0, None
    while report is None:
        allowed += MORE_REQUESTS
        report = await cut_short(data_dir, settings, account, allowed)
    assert allowed > 3 * MORE_REQUESTS
    assert not report.unchanged
    await check_same(data_dir, settings)


async def test_answers_that_get_lost_change_nothing(
    account: CosmosSandbox, settings: AzureSettings, data_dir: Path
) -> None:
    account.faults.add("drop_after", operation="writes", count=None, probability=0.2, seed=5)
    report = await copy_all(data_dir, settings)
    account.faults.clear()
    assert [each.copied for each in report.services] == [each.events for each in report.services]
    await check_same(data_dir, settings)
