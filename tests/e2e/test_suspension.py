"""An owner who suspends the App stops deliveries at once, from GitHub's webhook to the delivery that says why."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.e2e.catalogs import PROVIDER, WORKFLOW, catalog
from tests.e2e.suite import Suite
from zekt_sandbox import GitHubSandbox

BETA = 60_000_002
"""The id that the stand-in gives the second installation."""


async def heard(suite: Suite) -> int:
    """How many of identity's messages the dispatcher has handled."""
    status = await suite.call("GET", "dispatcher", "/api/operations/dispatcher/status")
    outcomes: dict[str, int] = status["consumers"]["identity"]["outcomes"]
    return outcomes.get("completed", 0)


async def dead_lettered(suite: Suite) -> int:
    """How many deliveries were given up."""
    return len(await reasons(suite))


async def reasons(suite: Suite) -> list[str]:
    page = await suite.call("GET", "dispatcher", "/api/deliveries?status=dead-lettered")
    return [delivery["reason"] for delivery in page["deliveries"]]


async def until(count: Callable[[Suite], Awaitable[int]], suite: Suite, least: int) -> None:
    async with asyncio.timeout(20):
        while await count(suite) < least:  # noqa: ASYNC110 - another process announces nothing
            await asyncio.sleep(0.05)


async def test_a_suspended_consumer_is_skipped_and_the_others_hear(suite: Suite, sandbox: GitHubSandbox) -> None:
    assert sandbox.installation(BETA).account.login == "beta"
    await suite.apply(catalog())
    await until(heard, suite, 6)  # three installations with a repository each
    await sandbox.suspend_installation(BETA)
    await until(heard, suite, 7)
    await sandbox.run_workflow(PROVIDER, WORKFLOW)
    await until(dead_lettered, suite, 1)
    assert await reasons(suite) == ["the account's owner has suspended the App's installation"]
    assert await sandbox.wait_for_dispatches(1, timeout_s=15)
    assert [dispatch.repository for dispatch in sandbox.dispatches()] == ["gamma/consumer"]
