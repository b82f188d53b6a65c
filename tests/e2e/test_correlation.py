"""Completion and message of a run in every order, through several hooks and after a backlog: each is heard of once."""

import time
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.azure_account import AzureAccount
from tests.e2e.catalogs import CONSUMERS, PROVIDER, WORKFLOW, catalog
from tests.e2e.engines import in_four_processes, in_one_process, on_azure, on_both_engines
from tests.e2e.messages import ARRIVES_WITHIN_S, Received, post_message, received
from tests.e2e.outcomes import MESSAGE, PLAIN, Outcome, outcomes
from tests.e2e.suite import Suite, running_suite
from zekt_common.auth.webhook_secrets import repository_secret
from zekt_sandbox import GitHubSandbox

MASTER_KEY = b"m" * 32
WINDOW_S = 2.0
BACKLOG_S = OUTAGE_S = 30


async def started(sandbox: GitHubSandbox) -> int:
    return (await sandbox.start_run(PROVIDER, WORKFLOW, send=False)).id


def heard(*events: Outcome) -> Received:
    """Each of these events once, at every consumer."""
    return Counter((consumer, str(run_id), event) for consumer in CONSUMERS for run_id, event in events)


async def run_of_workflow(sandbox: GitHubSandbox) -> int:
    """Have a run start and end, and return its id once ingress has acknowledged every webhook about it."""
    run, deliveries = await sandbox.run_workflow(PROVIDER, WORKFLOW)
    assert {delivery.status_code for delivery in deliveries} == {202}, "a webhook was not taken in"
    return run.id


async def settled(sandbox: GitHubSandbox, *events: Outcome) -> Received:
    """Return what was received once these events and those of a later run, whose window closes last, have come."""
    last = await run_of_workflow(sandbox)
    count = (len(events) + 1) * len(CONSUMERS)
    all_came = await sandbox.wait_for_dispatches(count, timeout_s=ARRIVES_WITHIN_S)
    assert all_came, f"missing: {heard(*events, (last, PLAIN)) - received(sandbox)}"
    return received(sandbox) - heard((last, PLAIN))


async def completed(sandbox: GitHubSandbox, run: int) -> None:
    deliveries = await sandbox.complete_run(run)
    assert {delivery.status_code for delivery in deliveries} == {202}, "a webhook was not taken in"


async def message_within_the_window(suite: Suite, sandbox: GitHubSandbox) -> None:
    """Complete runs, and post their messages at once, until one was stored in time: a busy machine may miss it."""
    while True:
        run = await started(sandbox)
        await completed(sandbox, run)
        await post_message(suite, sandbox, run, {})
        if (run, PLAIN) not in await outcomes(suite, window_s=WINDOW_S):
            return


@in_one_process
async def test_a_message_before_its_completion_is_heard_of_once(suite: Suite, sandbox: GitHubSandbox) -> None:
    await suite.apply(catalog(mode="events+messages"))
    run = await started(sandbox)
    await post_message(suite, sandbox, run, {})
    await sandbox.complete_run(run)
    assert await settled(sandbox, (run, MESSAGE)) == heard((run, MESSAGE))


@in_one_process
async def test_a_message_within_the_window_after_its_completion_takes_the_plain_events_place(
    suite: Suite, sandbox: GitHubSandbox
) -> None:
    await suite.apply(catalog(mode="events+messages", window_s=WINDOW_S))
    await message_within_the_window(suite, sandbox)
    expected = await outcomes(suite, window_s=WINDOW_S)
    assert await settled(sandbox, *expected) == heard(*expected)


@in_one_process
async def test_a_message_after_the_window_is_heard_of_beside_the_plain_event(
    suite: Suite, sandbox: GitHubSandbox
) -> None:
    await suite.apply(catalog(mode="events+messages", window_s=0.2))
    run = await started(sandbox)
    await sandbox.complete_run(run)
    assert await sandbox.wait_for_dispatches(len(CONSUMERS), timeout_s=ARRIVES_WITHIN_S)
    await post_message(suite, sandbox, run, {})
    both = (run, PLAIN), (run, MESSAGE)
    assert await settled(sandbox, *both) == heard(*both)


@in_one_process
@on_azure
async def test_on_azure_too_messages_before_within_and_after_the_window_are_each_heard_of_once(
    suite: Suite, sandbox: GitHubSandbox
) -> None:
    await suite.apply(catalog(mode="events+messages", window_s=WINDOW_S))
    before, after = [await started(sandbox) for _ in range(2)]
    await post_message(suite, sandbox, before, {})
    for run in (before, after):
        await sandbox.complete_run(run)
    await message_within_the_window(suite, sandbox)
    count = len(await outcomes(suite, window_s=WINDOW_S)) * len(CONSUMERS)
    assert await sandbox.wait_for_dispatches(count, timeout_s=ARRIVES_WITHIN_S)
    await post_message(suite, sandbox, after, {})
    expected = await outcomes(suite, window_s=WINDOW_S)
    assert {(before, MESSAGE), (after, PLAIN), (after, MESSAGE)} <= {*expected}
    assert await settled(sandbox, *expected) == heard(*expected)


@on_both_engines
async def test_the_same_completion_through_two_hooks_is_heard_of_once(
    sandbox: GitHubSandbox, tmp_path: Path, engine_settings: dict[str, str]
) -> None:
    settings = engine_settings | {"ZEKT_WEBHOOK_MASTER_KEYS": f"1:{MASTER_KEY.hex()}"}
    async with running_suite("one process", tmp_path, sandbox, **settings) as suite:
        await suite.apply(catalog(mode="events+messages"))
        run = await sandbox.start_run(PROVIDER, WORKFLOW, send=False)
        secret = repository_secret(MASTER_KEY, run.repository.id)
        sandbox.create_repository_hook(PROVIDER, url=suite.webhook_url, secret=secret)
        deliveries = await sandbox.complete_run(run.id)
        assert [delivery.status_code for delivery in deliveries] == [202, 202]
        assert await settled(sandbox, (run.id, PLAIN)) == heard((run.id, PLAIN))


@in_one_process
@on_both_engines
async def test_a_message_of_a_failed_attempt_is_heard_of_with_the_rerun_that_succeeds(
    suite: Suite, sandbox: GitHubSandbox
) -> None:
    await suite.apply(catalog(mode="events+messages"))
    run = await started(sandbox)
    await post_message(suite, sandbox, run, {})
    await sandbox.complete_run(run, conclusion="failure")
    assert await settled(sandbox) == heard(), "a failed attempt is not passed on, nor what it said"
    await sandbox.rerun(run, send=False)
    sandbox.clear_dispatches()
    await sandbox.complete_run(run)
    assert await settled(sandbox, (run, MESSAGE)) == heard((run, MESSAGE))


async def around_a_window(suite: Suite, sandbox: GitHubSandbox) -> list[Outcome]:
    """Have messages come before, within and after the window of a completion, and return what is to be heard of."""
    before, late, plain = [await started(sandbox) for _ in range(3)]
    await post_message(suite, sandbox, before, {})
    for run in (before, late, plain):
        await completed(sandbox, run)
    await message_within_the_window(suite, sandbox)
    passed = time.monotonic() + 1.5 * WINDOW_S
    while time.monotonic() < passed:
        await run_of_workflow(sandbox)
    await post_message(suite, sandbox, late, {})
    expected = await outcomes(suite, window_s=WINDOW_S)
    assert {(before, MESSAGE), (late, PLAIN), (late, MESSAGE), (plain, PLAIN)} <= {*expected}
    return expected


@pytest.mark.slow
@in_four_processes
async def test_a_backlog_longer_than_the_window_changes_no_outcome(suite: Suite, sandbox: GitHubSandbox) -> None:
    await suite.apply(catalog(mode="events+messages", window_s=WINDOW_S))
    ends = time.monotonic() + BACKLOG_S
    with suite.held("router"):
        expected = await around_a_window(suite, sandbox)
        assert not await sandbox.wait_for_dispatches(1, timeout_s=ends - time.monotonic())
    assert await settled(sandbox, *expected) == heard(*expected)


@pytest.mark.slow
@in_one_process
@on_azure
async def test_an_outage_of_service_bus_delays_everything_loses_nothing_and_changes_no_outcome(
    suite: Suite, sandbox: GitHubSandbox, azure: AzureAccount
) -> None:
    await suite.apply(catalog(mode="events+messages", window_s=WINDOW_S))
    await azure.bus("POST", "/outage", seconds=OUTAGE_S)
    ends = time.monotonic() + OUTAGE_S
    expected = await around_a_window(suite, sandbox)
    assert not await sandbox.wait_for_dispatches(1, timeout_s=ends - time.monotonic())
    assert await settled(sandbox, *expected) == heard(*expected)
