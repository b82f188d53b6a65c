"""Four processes on a namespace that allows ten connections, as the official emulator does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.azure_account import AzureAccount
from tests.e2e.catalogs import CONSUMERS, PROVIDER, WORKFLOW, catalog
from tests.e2e.messages import ARRIVES_WITHIN_S, post_message, received
from tests.e2e.poison import from_a_newer_program
from tests.e2e.suite import Suite, running_suite
from zekt_common.contracts.topology import SUBSCRIPTIONS
from zekt_common.ports.bus import OutgoingMessage
from zekt_sandbox import GitHubSandbox

EMULATOR_ALLOWS = 10
HELD = len(SUBSCRIPTIONS) + len({each.topic for each in SUBSCRIPTIONS})
LOOKS_EVERY_S = 0.1


@pytest.fixture
async def crowded(azure: AzureAccount, sandbox: GitHubSandbox, tmp_path: Path) -> AsyncIterator[Suite]:
    await azure.clear(tmp_path)
    await azure.bus("POST", "/faults/max_connections", count=EMULATOR_ALLOWS)
    async with running_suite("four processes", tmp_path, sandbox, **azure.settings) as started:
        yield started


async def held_only(azure: AzureAccount) -> None:
    """Wait until the connections that are held for good are open, and no others."""
    async with asyncio.timeout(ARRIVES_WITHIN_S):
        while (await azure.bus("GET", "/"))["connections"] != HELD:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(LOOKS_EVERY_S)


async def retried(azure: AzureAccount) -> None:
    """Have the dispatcher retry a message, whose copy waits in the router's topic then."""
    async with azure.open_bus() as bus:
        await bus.publish("router", [OutgoingMessage(envelope=from_a_newer_program(), to="dispatcher")])
    async with asyncio.timeout(ARRIVES_WITHIN_S):
        while not (await azure.held("router", "dispatcher"))["scheduled"]:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(LOOKS_EVERY_S)


@pytest.mark.slow
async def test_four_processes_do_their_job_and_retry_within_the_ten_connections_of_the_official_emulator(
    crowded: Suite, sandbox: GitHubSandbox, azure: AzureAccount
) -> None:
    await held_only(azure)
    await crowded.apply(catalog(mode="events+messages"))
    run = await sandbox.start_run(PROVIDER, WORKFLOW, send=False)
    await post_message(crowded, sandbox, run.id, {"version": "1.2.3"})
    await sandbox.complete_run(run.id)
    await retried(azure)
    plain, _ = await sandbox.run_workflow(PROVIDER, WORKFLOW)
    assert await sandbox.wait_for_dispatches(4, timeout_s=ARRIVES_WITHIN_S)
    heard = ((run, "deployment"), (plain, "zekt-workflow-completed"))
    assert received(sandbox) == {(each, str(of.id), event): 1 for of, event in heard for each in CONSUMERS}
    await held_only(azure)
