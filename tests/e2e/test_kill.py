"""SIGKILL in mid-run: every acknowledged webhook ends in a dispatch per subscription, counted raw at the stand-in."""

import asyncio
import random

import pytest

from tests.e2e.catalogs import catalog
from tests.e2e.counting import (
    all_received,
    assert_messages_took_the_plain_events_place,
    assert_repeats_are_reported_as_ambiguous,
    every_subscription,
)
from tests.e2e.sending import prepared, send_all, send_messages_then_webhooks, started_runs
from tests.e2e.suite import Suite
from zekt_sandbox import GitHubSandbox

WEBHOOKS = 2000
MESSAGES = 300
KILLS = 4
DISPATCHER_CONCURRENCY = 32


async def kill_now_and_then(suite: Suite, sandbox: GitHubSandbox) -> None:
    """Kill everything before, between and during dispatches, at moments counted in dispatches, and start again."""
    moments = [1, *sorted(random.sample(range(50, WEBHOOKS), KILLS - 1))]
    for moment in moments:
        await sandbox.wait_for_dispatches(moment, timeout_s=120)
        suite.kill()
        await suite.start()


@pytest.mark.slow
async def test_nothing_acknowledged_is_lost_when_every_process_is_killed_again_and_again(
    suite: Suite, sandbox: GitHubSandbox
) -> None:
    await suite.apply(catalog())
    runs = await started_runs(sandbox, WEBHOOKS)
    deliveries = prepared(sandbox, runs)
    await asyncio.gather(send_all(suite, deliveries), kill_now_and_then(suite, sandbox))
    expected = every_subscription(runs)
    received = await all_received(sandbox, expected)
    assert set(received) == expected
    assert received.total() - len(expected) <= KILLS * DISPATCHER_CONCURRENCY
    await assert_repeats_are_reported_as_ambiguous(suite, sandbox)


@pytest.mark.slow
async def test_no_acknowledged_message_is_lost_when_every_process_is_killed(
    suite: Suite, sandbox: GitHubSandbox
) -> None:
    await suite.apply(catalog(mode="events+messages"))
    runs = await started_runs(sandbox, MESSAGES)
    deliveries = prepared(sandbox, runs)

    async def killing() -> None:
        for moment in (1, MESSAGES):
            await sandbox.wait_for_dispatches(moment, timeout_s=120)
            suite.kill()
            await suite.start()

    await asyncio.gather(send_messages_then_webhooks(suite, sandbox, runs, deliveries), killing())
    expected = every_subscription(runs)
    received = await all_received(sandbox, expected)
    assert set(received) == expected
    assert_messages_took_the_plain_events_place(sandbox)
