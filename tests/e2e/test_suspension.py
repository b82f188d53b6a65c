"""An owner who suspends the App stops deliveries at once, from GitHub's webhook to the run that says why."""

import asyncio

from tests.e2e.catalogs import PROVIDER, WORKFLOW, catalog
from tests.e2e.messages import ARRIVES_WITHIN_S
from tests.e2e.suite import Suite
from zekt_sandbox import GitHubSandbox

BETA = 60_000_002
"""The id that the stand-in gives the second installation."""
SUSPENDED = "installation_suspended"


async def blocked(suite: Suite) -> list[str]:
    """Why repositories of the catalog are blocked now."""
    page = await suite.call("GET", "router", "/api/catalog")
    found = [repository["blocked"] for account in page["accounts"] for repository in account["repositories"]]
    return [each["reason"] for each in found if each]


async def until_blocked(suite: Suite, reasons: list[str]) -> None:
    async with asyncio.timeout(ARRIVES_WITHIN_S):
        while await blocked(suite) != reasons:  # noqa: ASYNC110 - another process announces nothing
            await asyncio.sleep(0.05)


async def dispatcher_has_heard(suite: Suite) -> None:
    """Wait until the dispatcher knows what the router knows, which was told to both at once."""
    async with asyncio.timeout(ARRIVES_WITHIN_S):
        while await backlog_of_the_dispatcher(suite):  # noqa: ASYNC110 - another process announces nothing
            await asyncio.sleep(0.05)


async def backlog_of_the_dispatcher(suite: Suite) -> int:
    status = await suite.call("GET", "dispatcher", "/api/operations/dispatcher/status")
    return int(status["consumers"]["identity"]["backlog"])


async def test_a_suspended_consumer_is_skipped_and_the_others_hear(suite: Suite, sandbox: GitHubSandbox) -> None:
    assert sandbox.installation(BETA).account.login == "beta"
    await suite.apply(catalog())
    await sandbox.suspend_installation(BETA)
    await until_blocked(suite, [SUSPENDED])
    run, _ = await sandbox.run_workflow(PROVIDER, WORKFLOW)
    assert await sandbox.wait_for_dispatches(1, timeout_s=ARRIVES_WITHIN_S)
    story = await suite.call("GET", "router", f"/api/runs/{run.repository.id}/{run.id}")
    assert [refused["reason"] for refused in story["refused"]] == [SUSPENDED]
    assert [delivery["targetRepository"] for delivery in story["deliveries"]] == ["gamma/consumer"]
    assert [dispatch.repository for dispatch in sandbox.dispatches()] == ["gamma/consumer"]
    await sandbox.unsuspend_installation(BETA)
    await until_blocked(suite, [])
    await dispatcher_has_heard(suite)
    await sandbox.run_workflow(PROVIDER, WORKFLOW)
    assert await sandbox.wait_for_dispatches(3, timeout_s=ARRIVES_WITHIN_S)
