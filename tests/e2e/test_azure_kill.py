"""The suite killed in mid-run on Azure, whose services live on, and answer as they do on a bad day."""

import asyncio

import pytest

from tests.e2e.azure_account import AzureAccount
from tests.e2e.azure_faults import assert_faults_were_used, switch_faults_on
from tests.e2e.catalogs import catalog
from tests.e2e.counting import (
    all_received,
    assert_messages_took_the_plain_events_place,
    assert_repeats_are_reported_as_ambiguous,
    every_subscription,
)
from tests.e2e.engines import in_one_process, on_azure
from tests.e2e.sending import prepared, send_all, send_messages_then_webhooks, started_runs
from tests.e2e.suite import Suite
from zekt_sandbox import GitHubSandbox

WEBHOOKS = 200
MESSAGES = 60
KILLED_AFTER = 100
"""Dispatches, of twice as many as there are webhooks."""
DISPATCHER_CONCURRENCY = 32


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
    await assert_faults_were_used(azure)


@pytest.mark.slow
@in_one_process
@on_azure
async def test_no_acknowledged_message_is_lost_on_azure_when_the_suite_is_killed_while_calls_fail(
    suite: Suite, sandbox: GitHubSandbox, azure: AzureAccount
) -> None:
    await suite.apply(catalog(mode="events+messages"))
    runs = await started_runs(sandbox, MESSAGES)
    await switch_faults_on(azure)

    async def killing() -> None:
        await sandbox.wait_for_dispatches(MESSAGES, timeout_s=120)
        suite.kill()
        await suite.start()

    sending = send_messages_then_webhooks(suite, sandbox, runs, prepared(sandbox, runs))
    await asyncio.gather(sending, killing())
    expected = every_subscription(runs)
    assert set(await all_received(sandbox, expected)) == expected
    assert_messages_took_the_plain_events_place(sandbox)
    await assert_faults_were_used(azure)
