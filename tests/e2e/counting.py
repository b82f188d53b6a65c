"""What reached the consumers, counted raw at the stand-in for GitHub, beside what the dispatcher admits to."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Collection
from typing import Any

from tests.e2e.catalogs import CONSUMERS
from tests.e2e.suite import Suite
from zekt_sandbox import GitHubSandbox

AMBIGUOUS = "dev.zekt.delivery.attempt-ambiguous"


def every_subscription(runs: Collection[int]) -> set[tuple[str, str]]:
    """Return each run with each consumer."""
    return {(str(run), consumer) for run in runs for consumer in CONSUMERS}


async def all_received(
    sandbox: GitHubSandbox, expected: set[tuple[str, str]], *, within_s: float = 200
) -> Counter[tuple[str, str]]:
    """Wait until every expected pair has arrived, then return the raw count of each."""
    async with asyncio.timeout(within_s):
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
    ambiguous = Counter(
        [event["stream"].removeprefix("delivery/") async for event in stored(suite, "dispatcher", AMBIGUOUS)]
    )
    for delivery_id, count in repeated.items():
        assert ambiguous[delivery_id] >= count - 1, f"{delivery_id} was dispatched {count} times, unreported"


def assert_messages_took_the_plain_events_place(sandbox: GitHubSandbox) -> None:
    for dispatch in sandbox.dispatches():
        zekt = json.loads(dispatch.body)["client_payload"]["zekt"]
        assert zekt["payload"] == {"run": zekt["correlationId"]}


async def stored(suite: Suite, service: str, type_: str) -> AsyncIterator[dict[str, Any]]:
    """Yield the service's events of this type that are stored by now."""
    path = f"/api/operations/{service}/events"
    cursor = None
    query = {"limit": "1000", "type": type_}
    while True:
        page = await suite.call("GET", service, path, query=query | ({"cursor": cursor} if cursor else {}))
        for event in page["events"]:
            yield event
        if page["cursor"] == cursor:
            return
        cursor = page["cursor"]
