"""Webhooks and messages sent until they are acknowledged, as GitHub's redelivery and a workflow's retry would."""

import asyncio
from collections.abc import Sequence

import aiohttp

from tests.e2e.catalogs import PROVIDER, WORKFLOW
from tests.e2e.messages import message_of
from tests.e2e.suite import Suite
from zekt_sandbox import GitHubSandbox
from zekt_sandbox.github.model import HookDelivery

CONCURRENCY = 32
PAUSE_S = 0.05


async def started_runs(sandbox: GitHubSandbox, count: int) -> list[int]:
    """Start runs of the listed workflow without a word, and return their ids."""
    return [(await sandbox.start_run(PROVIDER, WORKFLOW, send=False)).id for _ in range(count)]


def prepared(sandbox: GitHubSandbox, run_ids: Sequence[int]) -> list[HookDelivery]:
    """Complete the runs and return the webhook of each, unsent."""
    return [sandbox.complete_run_unsent(run_id)[0] for run_id in run_ids]


async def send_until_acknowledged(suite: Suite, delivery: HookDelivery) -> None:
    """Send one webhook again and again until it is acknowledged."""
    while True:
        try:
            async with suite.http.post(suite.webhook_url, data=delivery.body, headers=delivery.headers) as answer:
                if answer.status == 202:
                    return
        except aiohttp.ClientError:
            pass  # it was killed under the request
        await asyncio.sleep(PAUSE_S)


async def send_all(suite: Suite, deliveries: Sequence[HookDelivery]) -> None:
    """Send webhooks, 32 at a time."""
    waiting = iter(deliveries)

    async def worker() -> None:
        for delivery in waiting:
            await send_until_acknowledged(suite, delivery)

    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))


async def send_messages_then_webhooks(
    suite: Suite, sandbox: GitHubSandbox, runs: Sequence[int], deliveries: Sequence[HookDelivery]
) -> None:
    """Post each run's message until it is acknowledged, and only then its completion."""
    waiting = iter(zip(runs, deliveries, strict=True))

    async def worker() -> None:
        for run_id, delivery in waiting:
            await post_until_acknowledged(suite, sandbox, run_id)
            await send_until_acknowledged(suite, delivery)

    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))


async def post_until_acknowledged(suite: Suite, sandbox: GitHubSandbox, run_id: int) -> None:
    """Post the run's message again and again until it is acknowledged."""
    body = message_of(run_id, {"run": str(run_id)})
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
        await asyncio.sleep(PAUSE_S)
