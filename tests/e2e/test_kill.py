"""SIGKILL in mid-run: every acknowledged webhook ends in a dispatch per subscription, counted raw at the stand-in."""

import asyncio
import json
import random
from collections import Counter

import aiohttp
import pytest

from tests.e2e.catalogs import CONSUMERS, PROVIDER, WORKFLOW, catalog
from tests.e2e.suite import Suite
from zekt_sandbox import GitHubSandbox
from zekt_sandbox.github.model import HookDelivery

WEBHOOKS = 2000
MESSAGES = 300
KILLS = 4
CONCURRENCY = 32
DISPATCHER_CONCURRENCY = 32


async def send_until_acknowledged(suite: Suite, delivery: HookDelivery) -> None:
    """Send one webhook again and again until it is acknowledged, as GitHub's redelivery would."""
    while True:
        try:
            async with suite.http.post(suite.webhook_url, data=delivery.body, headers=delivery.headers) as answer:
                if answer.status == 202:
                    return
        except aiohttp.ClientError:
            await asyncio.sleep(0.05)


async def send_all(suite: Suite, deliveries: list[HookDelivery]) -> None:
    waiting = iter(deliveries)

    async def worker() -> None:
        for delivery in waiting:
            await send_until_acknowledged(suite, delivery)

    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))


async def kill_now_and_then(suite: Suite, sandbox: GitHubSandbox) -> None:
    """Kill everything before, between and during dispatches, at moments counted in dispatches, and start again."""
    moments = [1, *sorted(random.sample(range(50, WEBHOOKS), KILLS - 1))]
    for moment in moments:
        await sandbox.wait_for_dispatches(moment, timeout_s=60)
        suite.kill()
        await suite.start()


def prepared(sandbox: GitHubSandbox, run_ids: list[int]) -> list[HookDelivery]:
    return [sandbox.complete_run_unsent(run_id)[0] for run_id in run_ids]


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_nothing_acknowledged_is_lost_when_every_process_is_killed_again_and_again(
    suite: Suite, sandbox: GitHubSandbox
) -> None:
    await suite.apply(catalog())
    runs = [(await sandbox.start_run(PROVIDER, WORKFLOW, send=False)).id for _ in range(WEBHOOKS)]
    deliveries = prepared(sandbox, runs)
    await asyncio.gather(send_all(suite, deliveries), kill_now_and_then(suite, sandbox))
    expected = {(str(run), consumer) for run in runs for consumer in CONSUMERS}
    received = await all_received(sandbox, expected)
    assert set(received) == expected
    repeated = {pair: count for pair, count in received.items() if count > 1}
    assert sum(count - 1 for count in repeated.values()) <= KILLS * DISPATCHER_CONCURRENCY
    await assert_repeats_are_reported_as_ambiguous(suite, sandbox)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_no_acknowledged_message_is_lost_when_every_process_is_killed(
    suite: Suite, sandbox: GitHubSandbox
) -> None:
    await suite.apply(catalog(mode="events+messages"))
    runs = [(await sandbox.start_run(PROVIDER, WORKFLOW, send=False)).id for _ in range(MESSAGES)]
    deliveries = prepared(sandbox, runs)

    async def killing() -> None:
        for moment in (1, MESSAGES):
            await sandbox.wait_for_dispatches(moment, timeout_s=60)
            suite.kill()
            await suite.start()

    await asyncio.gather(send_messages_then_webhooks(suite, sandbox, runs, deliveries), killing())
    expected = {(str(run), consumer) for run in runs for consumer in CONSUMERS}
    received = await all_received(sandbox, expected)
    assert set(received) == expected
    for dispatch in sandbox.dispatches():
        zekt = json.loads(dispatch.body)["client_payload"]["zekt"]
        assert zekt["payload"] == {"run": zekt["correlationId"]}, "a message takes the plain event's place"


async def send_messages_then_webhooks(
    suite: Suite, sandbox: GitHubSandbox, runs: list[int], deliveries: list[HookDelivery]
) -> None:
    """Post each run's message until it is acknowledged, and only then its completion."""
    waiting = iter(zip(runs, deliveries, strict=True))

    async def worker() -> None:
        for run_id, delivery in waiting:
            await post_until_acknowledged(suite, sandbox, run_id)
            await send_until_acknowledged(suite, delivery)

    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))


async def post_until_acknowledged(suite: Suite, sandbox: GitHubSandbox, run_id: int) -> None:
    body = {
        "eventType": "deployment",
        "repository": PROVIDER,
        "workflowRunId": str(run_id),
        "triggeredBy": "octocat",
        "commitSha": "0" * 40,
        "ref": "refs/heads/main",
        "workflow": "CI",
        "payload": {"run": str(run_id)},
        "timestamp": "2026-01-01T00:00:00Z",
    }
    while True:
        headers = {"Authorization": f"Bearer {sandbox.mint_oidc_token(run_id)}"}
        try:
            url = f"{suite.url('ingress')}/api/events/receive"
            async with suite.http.post(url, json=body, headers=headers) as answer:
                if answer.status == 200:
                    return
                assert answer.status in (429, 503), await answer.text()
        except aiohttp.ClientError:
            pass  # it was killed under the request
        await asyncio.sleep(0.05)


async def all_received(sandbox: GitHubSandbox, expected: set[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """Wait until every expected pair has arrived, then return the raw count of each."""
    async with asyncio.timeout(200):
        while True:
            received = Counter(
                (json.loads(dispatch.body)["client_payload"]["zekt"]["correlationId"], dispatch.repository)
                for dispatch in sandbox.dispatches()
                if dispatch.processed
            )
            if expected <= set(received):
                return received
            await sandbox.wait_for_dispatches(received.total() + 1, timeout_s=5)


async def assert_repeats_are_reported_as_ambiguous(suite: Suite, sandbox: GitHubSandbox) -> None:
    sent = Counter(
        json.loads(dispatch.body)["client_payload"]["zekt"]["deliveryId"]
        for dispatch in sandbox.dispatches()
        if dispatch.processed
    )
    repeated = {delivery_id: count for delivery_id, count in sent.items() if count > 1}
    ambiguous: Counter[str] = Counter()
    cursor = ""
    while True:
        page = await suite.call("GET", "dispatcher", f"/api/operations/dispatcher/events?limit=1000&cursor={cursor}")
        for event in page["events"]:
            if event["type"] == "dev.zekt.delivery.attempt-ambiguous":
                ambiguous[event["stream"].removeprefix("delivery/")] += 1
        if not page["events"]:
            break
        cursor = page["cursor"]
    for delivery_id, count in repeated.items():
        assert ambiguous[delivery_id] >= count - 1, f"{delivery_id} was dispatched {count} times, unreported"
