import asyncio
import json
from collections import Counter

from tests.e2e.azure_account import AzureAccount
from tests.e2e.azure_faults import assert_faults_were_used, switch_first_faults_on
from tests.e2e.catalogs import CONSUMERS, PROVIDER, UNLISTED, WORKFLOW, catalog
from tests.e2e.counting import all_received, every_subscription
from tests.e2e.engines import everywhere, in_one_process, on_azure
from tests.e2e.messages import ARRIVES_WITHIN_S, payload_of, post_message
from tests.e2e.sending import prepared, send_all, started_runs
from tests.e2e.suite import Suite
from zekt_sandbox import GitHubSandbox

RUNS = 5


async def test_a_completed_run_is_dispatched_to_every_subscriber(suite: Suite, sandbox: GitHubSandbox) -> None:
    await suite.apply(catalog())
    run, _ = await sandbox.run_workflow(PROVIDER, WORKFLOW)
    assert await sandbox.wait_for_dispatches(2, timeout_s=ARRIVES_WITHIN_S)
    dispatches = sandbox.dispatches()
    assert Counter(dispatch.repository for dispatch in dispatches) == Counter(CONSUMERS)
    for dispatch in dispatches:
        body = json.loads(dispatch.body)
        assert body["event_type"] == "zekt-workflow-completed"
        assert body["client_payload"]["zekt"]["correlationId"] == str(run.id)


@everywhere
async def test_a_message_takes_the_place_of_the_plain_event(suite: Suite, sandbox: GitHubSandbox) -> None:
    await suite.apply(catalog(mode="events+messages"))
    run = await sandbox.start_run(PROVIDER, WORKFLOW, send=False)
    answer = await post_message(suite, sandbox, run.id, {"version": "1.2.3"})
    assert answer["success"] is True
    assert answer["consumersNotified"] == 2
    await sandbox.complete_run(run.id)
    assert await sandbox.wait_for_dispatches(2, timeout_s=ARRIVES_WITHIN_S)
    for dispatch in sandbox.dispatches():
        assert json.loads(dispatch.body)["event_type"] == "deployment"
        assert payload_of(dispatch.body)["zekt"]["payload"] == {"version": "1.2.3"}
        assert payload_of(dispatch.body)["customPayload"] == {"version": "1.2.3"}


async def test_without_a_message_the_plain_event_follows_at_the_windows_end(
    suite: Suite, sandbox: GitHubSandbox
) -> None:
    await suite.apply(catalog(mode="events+messages"))
    await sandbox.run_workflow(PROVIDER, WORKFLOW)
    assert await sandbox.wait_for_dispatches(2, timeout_s=ARRIVES_WITHIN_S)
    assert {json.loads(dispatch.body)["event_type"] for dispatch in sandbox.dispatches()} == {"zekt-workflow-completed"}


@everywhere
async def test_an_unlisted_workflow_is_blocked_with_a_reason(suite: Suite, sandbox: GitHubSandbox) -> None:
    await suite.apply(catalog())
    blocked, _ = await sandbox.run_workflow(PROVIDER, UNLISTED)
    await sandbox.run_workflow(PROVIDER, WORKFLOW)
    assert await sandbox.wait_for_dispatches(2, timeout_s=ARRIVES_WITHIN_S)
    await shown_with(suite, "workflow_not_listed", f"/api/runs/{blocked.repository.id}/{blocked.id}")
    assert len(sandbox.dispatches()) == 2


async def shown_with(suite: Suite, reason: str, path: str) -> None:
    """Wait until the router shows this with this reason: runs are heard of side by side, in any order."""
    async with asyncio.timeout(ARRIVES_WITHIN_S):
        while True:
            async with suite.http.get(suite.url("router") + path, headers=suite.operator) as answer:
                if reason in await answer.text():
                    return
            await asyncio.sleep(0.05)


async def test_repeats_of_a_webhook_change_nothing(suite: Suite, sandbox: GitHubSandbox) -> None:
    await suite.apply(catalog())
    run = await sandbox.start_run(PROVIDER, WORKFLOW, send=False)
    sandbox.create_repository_hook(PROVIDER, url=suite.webhook_url, secret=sandbox.webhook_secret)
    await sandbox.complete_run(run.id, through=["app"], repeat=3)
    assert await sandbox.wait_for_dispatches(2, timeout_s=ARRIVES_WITHIN_S)
    other, _ = await sandbox.run_workflow(PROVIDER, WORKFLOW)
    assert await sandbox.wait_for_dispatches(4, timeout_s=ARRIVES_WITHIN_S)
    ids = Counter(payload_of(dispatch.body)["zekt"]["deliveryId"] for dispatch in sandbox.dispatches())
    assert len(ids) == 4
    assert set(ids.values()) == {1}
    assert other.id != run.id


@in_one_process
@on_azure
async def test_repeats_of_a_webhook_change_nothing_on_azure_while_calls_fail(
    suite: Suite, sandbox: GitHubSandbox, azure: AzureAccount
) -> None:
    await suite.apply(catalog())
    runs = await started_runs(sandbox, RUNS)
    deliveries = prepared(sandbox, runs)
    await switch_first_faults_on(azure)
    for _ in range(3):
        await send_all(suite, deliveries)
    last, _ = await sandbox.run_workflow(PROVIDER, WORKFLOW)
    expected = every_subscription([*runs, last.id])
    received = await all_received(sandbox, expected, within_s=ARRIVES_WITHIN_S)
    assert received == dict.fromkeys(expected, 1)
    await assert_faults_were_used(azure)


@everywhere
async def test_a_payload_too_large_for_github_travels_by_reference(suite: Suite, sandbox: GitHubSandbox) -> None:
    await suite.apply(catalog(mode="events+messages"))
    run = await sandbox.start_run(PROVIDER, WORKFLOW, send=False)
    large = {"text": "x" * 200_000}
    await post_message(suite, sandbox, run.id, large)
    await sandbox.complete_run(run.id)
    assert await sandbox.wait_for_dispatches(2, timeout_s=ARRIVES_WITHIN_S)
    dispatch = sandbox.dispatches(CONSUMERS[0])[0]
    reference = payload_of(dispatch.body)["zekt"]["payloadRef"]
    sandbox.create_workflow(CONSUMERS[0], WORKFLOW)
    consumer_run = await sandbox.start_run(CONSUMERS[0], WORKFLOW, send=False)
    provider_run = await sandbox.start_run(PROVIDER, WORKFLOW, send=False)
    url = f"{suite.url('dispatcher')}/api/payloads/{reference['sha256']}"
    for reader, status in ((consumer_run, 200), (provider_run, 404)):
        headers = {"Authorization": f"Bearer {sandbox.mint_oidc_token(reader.id)}"}
        async with suite.http.get(url, headers=headers) as answer:
            assert answer.status == status
            if status == 200:
                assert json.loads(await answer.read()) == large


@everywhere
async def test_a_suite_stops_in_order_when_asked(suite: Suite, sandbox: GitHubSandbox) -> None:
    await suite.apply(catalog())
    await sandbox.run_workflow(PROVIDER, WORKFLOW)
    assert await sandbox.wait_for_dispatches(2, timeout_s=ARRIVES_WITHIN_S)
    assert set(suite.stop()) == {0}
    await suite.start()
    await sandbox.run_workflow(PROVIDER, WORKFLOW)
    assert await sandbox.wait_for_dispatches(4, timeout_s=ARRIVES_WITHIN_S)
