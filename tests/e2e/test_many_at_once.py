"""More of one run, and of one catalog, than an append takes: all of it arrives, on both engines alike."""

from typing import Any

from tests.e2e.catalogs import PROVIDER, WORKFLOW, catalog
from tests.e2e.engines import in_one_process, on_both_engines
from tests.e2e.messages import ARRIVES_WITHIN_S, post_message, received
from tests.e2e.outcomes import MESSAGE, PLAIN
from tests.e2e.suite import Suite
from zekt_common.append_limits import MAX_EVENTS
from zekt_sandbox import GitHubSandbox

MESSAGES = 100
SUBSCRIBERS = [f"delta/r{n}" for n in range(120)]


@in_one_process
@on_both_engines
async def test_more_messages_than_an_append_takes_are_each_delivered_with_their_run(
    suite: Suite, sandbox: GitHubSandbox
) -> None:
    assert MESSAGES > MAX_EVENTS
    one_consumer = catalog(mode="events+messages")
    await suite.apply(one_consumer | {"subscriptions": one_consumer["subscriptions"][:1]})
    run = await sandbox.start_run(PROVIDER, WORKFLOW, send=False)
    for number in range(MESSAGES):
        await post_message(suite, sandbox, run.id, {"number": number})
    await sandbox.complete_run(run.id)
    assert await sandbox.wait_for_dispatches(MESSAGES, timeout_s=ARRIVES_WITHIN_S)
    assert received(sandbox) == {("beta/consumer", str(run.id), MESSAGE): MESSAGES}
    assert await suite.call("GET", "router", "/api/operations/router/dead-letters") == {"dead_letters": []}


@in_one_process
@on_both_engines
async def test_a_catalog_with_more_subscribers_than_an_append_takes_is_applied_and_routed_by(
    suite: Suite, sandbox: GitHubSandbox
) -> None:
    for name in SUBSCRIBERS:
        sandbox.create_repository(name)
    sandbox.create_installation("delta")
    applied = await suite.apply(large())
    assert len(applied["positions"]) > 2 * MAX_EVENTS
    assert (await suite.apply(large()))["positions"] == []
    run, _ = await sandbox.run_workflow(PROVIDER, WORKFLOW)
    assert await sandbox.wait_for_dispatches(len(SUBSCRIBERS), timeout_s=ARRIVES_WITHIN_S)
    assert received(sandbox) == {(name, str(run.id), PLAIN): 1 for name in SUBSCRIBERS}


def large() -> dict[str, Any]:
    """Return a catalog whose service has 120 subscribers, all of one account."""
    plain = catalog()
    return plain | {
        "accounts": [*plain["accounts"], {"login": "delta", "sku": "enterprise"}],
        "repositories": [
            *plain["repositories"],
            *({"repository": name, "enabledAs": ["consumer"]} for name in SUBSCRIBERS),
        ],
        "subscriptions": [
            {"service": "acme/ci-finished", "target": name, "status": "approved"} for name in SUBSCRIBERS
        ],
    }
