"""The suite killed in mid-run on Azure, whose services live on, and answer as they do on a bad day."""

import asyncio

import pytest

from tests.e2e.azure_account import AzureAccount
from tests.e2e.catalogs import catalog
from tests.e2e.counting import all_received, assert_repeats_are_reported_as_ambiguous, every_subscription
from tests.e2e.engines import in_one_process, on_azure
from tests.e2e.sending import prepared, send_all, started_runs
from tests.e2e.suite import Suite
from zekt_sandbox import GitHubSandbox

WEBHOOKS = 200
KILLED_AFTER = 100
"""Dispatches, of twice as many as there are webhooks."""
DISPATCHER_CONCURRENCY = 32
LOST_ANSWERS_OF_THE_BUS = 5


async def switch_faults_on(azure: AzureAccount) -> None:
    """Lose, refuse and throttle a few calls in a hundred, the same ones every time."""
    await azure.cosmos("POST", "", kind="drop_after", operation="writes", count=None, probability=0.01, seed=1)
    await azure.cosmos("POST", "", kind="drop_before", count=None, probability=0.005, seed=2)
    await azure.cosmos("POST", "", kind="error", status=429, retry_after_ms=20, count=None, probability=0.02, seed=3)
    await azure.bus("POST", "/faults/lost_answers", count=LOST_ANSWERS_OF_THE_BUS)


async def kill_in_mid_run(suite: Suite, sandbox: GitHubSandbox, azure: AzureAccount) -> None:
    await sandbox.wait_for_dispatches(KILLED_AFTER // 2, timeout_s=120)
    await azure.bus("POST", "/connections/drop")
    await sandbox.wait_for_dispatches(KILLED_AFTER, timeout_s=120)
    suite.kill()
    assert len(sandbox.dispatches()) < 2 * WEBHOOKS, "it was to be killed before the end"
    await suite.start()


@pytest.mark.slow
@in_one_process
@on_azure
async def test_nothing_acknowledged_is_lost_on_azure_when_the_suite_is_killed_while_calls_fail(
    suite: Suite, sandbox: GitHubSandbox, azure: AzureAccount
) -> None:
    await suite.apply(catalog())
    runs = await started_runs(sandbox, WEBHOOKS)
    await switch_faults_on(azure)
    await asyncio.gather(send_all(suite, prepared(sandbox, runs)), kill_in_mid_run(suite, sandbox, azure))
    expected = every_subscription(runs)
    received = await all_received(sandbox, expected)
    assert set(received) == expected
    assert received.total() - len(expected) <= DISPATCHER_CONCURRENCY
    await assert_repeats_are_reported_as_ambiguous(suite, sandbox)
    faults = (await azure.cosmos("GET", ""))["faults"]
    assert all(fault["taken"] for fault in faults)
