"""`/ready`, `/accepting` and webhooks while one of Azure's services is away or hangs, and after it has come back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.azure_account import AzureAccount
from tests.e2e.catalogs import PROVIDER, WORKFLOW, catalog
from tests.e2e.engines import in_one_process, on_azure
from tests.e2e.messages import ARRIVES_WITHIN_S, payload_of, post_message
from tests.e2e.suite import Suite, running_suite
from tests.e2e.wire import Wire, wire_to
from zekt_sandbox import GitHubSandbox

AWAY_S = 600
"""Longer than the test; it ends when the test says so."""
LOOKS_EVERY_S = 0.1


async def shows(suite: Suite, status: int, *reasons: str, probe: str = "/ready") -> None:
    """Wait until the suite answers so, and with these reasons if something is away."""
    async with asyncio.timeout(ARRIVES_WITHIN_S):
        while True:
            async with suite.http.get(suite.url("ingress") + probe) as answer:
                text = await answer.text()
                if answer.status == status and all(reason in text for reason in reasons):
                    return
            await asyncio.sleep(LOOKS_EVERY_S)


@pytest.mark.slow
@in_one_process
@on_azure
async def test_readiness_names_the_settings_of_what_is_away_and_returns_with_it(
    suite: Suite, sandbox: GitHubSandbox, azure: AzureAccount
) -> None:
    await suite.apply(catalog())
    await azure.cosmos("POST", "/outage", seconds=AWAY_S)
    await shows(suite, 503, "ZEKT_COSMOS_ENDPOINT")
    await shows(suite, 503, "ZEKT_COSMOS_ENDPOINT", probe="/accepting")
    await azure.bus("POST", "/outage", seconds=AWAY_S)
    await shows(suite, 503, "ZEKT_COSMOS_ENDPOINT", "ZEKT_SERVICEBUS_CONNECTION")
    await azure.cosmos("DELETE", "")
    await azure.bus("DELETE", "/outage")
    await shows(suite, 200)
    await sandbox.run_workflow(PROVIDER, WORKFLOW)
    assert await sandbox.wait_for_dispatches(2, timeout_s=ARRIVES_WITHIN_S)


@asynccontextmanager
async def with_blobs_over_a_wire(
    azure: AzureAccount, sandbox: GitHubSandbox, directory: Path
) -> AsyncIterator[tuple[Suite, Wire]]:
    """Start a suite that reaches Blob Storage over a wire, with the catalog applied."""
    await azure.clear(directory)
    async with wire_to(azure.azurite.url) as wire:
        by_wire = azure.azurite.connection_string.replace(f":{wire.to[1]}/", f":{wire.port}/")
        settings = azure.settings | {"ZEKT_BLOB_CONNECTION": by_wire}
        async with running_suite("one process", directory, sandbox, **settings) as suite:
            await suite.apply(catalog())
            yield suite, wire


@pytest.mark.slow
@in_one_process
@on_azure
async def test_while_service_bus_is_away_the_suite_is_unready_and_takes_in_what_it_delivers_afterwards(
    suite: Suite, sandbox: GitHubSandbox, azure: AzureAccount
) -> None:
    await suite.apply(catalog())
    await azure.bus("POST", "/outage", seconds=AWAY_S)
    await shows(suite, 503, "ZEKT_SERVICEBUS_CONNECTION")
    await shows(suite, 200, probe="/accepting")
    run = await sandbox.start_run(PROVIDER, WORKFLOW, send=False)
    await post_message(suite, sandbox, run.id, {"version": "1.2.3"})
    [webhook] = await sandbox.complete_run(run.id)
    assert webhook.status_code == 202
    assert not sandbox.dispatches()
    await azure.bus("DELETE", "/outage")
    await shows(suite, 200)
    assert await sandbox.wait_for_dispatches(2, timeout_s=ARRIVES_WITHIN_S)
    assert {payload_of(each.body)["zekt"]["correlationId"] for each in sandbox.dispatches()} == {str(run.id)}


@pytest.mark.slow
async def test_readiness_names_blob_storage_while_it_is_away_and_returns_with_it(
    azure: AzureAccount, sandbox: GitHubSandbox, tmp_path: Path
) -> None:
    async with with_blobs_over_a_wire(azure, sandbox, tmp_path) as (suite, wire):
        await wire.cut()
        await shows(suite, 503, "ZEKT_BLOB_CONNECTION")
        await shows(suite, 503, "ZEKT_BLOB_CONNECTION", probe="/accepting")
        await wire.mend()
        await shows(suite, 200)
        await shows(suite, 200, probe="/accepting")
        await sandbox.run_workflow(PROVIDER, WORKFLOW)
        assert await sandbox.wait_for_dispatches(2, timeout_s=ARRIVES_WITHIN_S)


@pytest.mark.slow
async def test_a_webhook_is_answered_before_github_gives_up_while_blob_storage_hangs(
    azure: AzureAccount, sandbox: GitHubSandbox, tmp_path: Path
) -> None:
    async with with_blobs_over_a_wire(azure, sandbox, tmp_path) as (suite, wire):
        run = await sandbox.start_run(PROVIDER, WORKFLOW, send=False)
        (webhook,) = sandbox.complete_run_unsent(run.id)
        wire.hang()
        async with suite.http.post(suite.webhook_url, data=webhook.body, headers=webhook.headers) as answer:
            assert (answer.status, (await answer.json())["error"]) == (503, "storage_slow")
            assert answer.headers["Retry-After"] == "5"
        wire.flow()
        async with suite.http.post(suite.webhook_url, data=webhook.body, headers=webhook.headers) as answer:
            assert answer.status == 202
        assert await sandbox.wait_for_dispatches(2, timeout_s=ARRIVES_WITHIN_S)
