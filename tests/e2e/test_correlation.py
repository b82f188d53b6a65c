"""Completion and message of a run in every order, through several hooks and after a backlog: each is heard of once."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.catalogs import CONSUMERS, PROVIDER, WORKFLOW, catalog
from tests.e2e.engines import in_four_processes, in_one_process, on_both_engines
from tests.e2e.messages import ARRIVES_WITHIN_S, Received, post_message, received
from tests.e2e.suite import Suite, running_suite
from zekt_ingress.signatures import repository_secret
from zekt_sandbox import GitHubSandbox

PLAIN, MESSAGE = "zekt-workflow-completed", "deployment"
MASTER_KEY = b"m" * 32
WINDOW_S = 2.0


async def started(sandbox: GitHubSandbox) -> int:
    return (await sandbox.start_run(PROVIDER, WORKFLOW, send=False)).id


def heard(*events: tuple[int, str]) -> Received:
    """Each of these events once, at every consumer."""
    return Counter((consumer, str(run_id), event) for consumer in CONSUMERS for run_id, event in events)


async def settled(sandbox: GitHubSandbox, *events: tuple[int, str]) -> Received:
    """Return what was received once these events and those of a later run, whose window closes last, have come."""
    await sandbox.wait_for_dispatches(len(events) * len(CONSUMERS), timeout_s=ARRIVES_WITHIN_S)
    last, _ = await sandbox.run_workflow(PROVIDER, WORKFLOW)
    assert await sandbox.wait_for_dispatches((len(events) + 1) * len(CONSUMERS), timeout_s=ARRIVES_WITHIN_S)
    return received(sandbox) - heard((last.id, PLAIN))


@contextmanager
def held(suite: Suite, service: str) -> Iterator[None]:
    """Stop the service's process where it is, until the block ends."""
    process = dict(zip(suite.ports, suite.processes, strict=True))[service]
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


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
    run = await started(sandbox)
    await sandbox.complete_run(run)
    await post_message(suite, sandbox, run, {})
    assert await settled(sandbox, (run, MESSAGE)) == heard((run, MESSAGE))


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


@in_four_processes
async def test_a_backlog_longer_than_the_window_changes_no_outcome(suite: Suite, sandbox: GitHubSandbox) -> None:
    await suite.apply(catalog(mode="events+messages", window_s=WINDOW_S))
    before, within, late, plain = [await started(sandbox) for _ in range(4)]
    with held(suite, "router"):
        await post_message(suite, sandbox, before, {})
        for run in (before, within, late, plain):
            await sandbox.complete_run(run)
        await post_message(suite, sandbox, within, {})
        passed = time.monotonic() + 1.5 * WINDOW_S
        others = []
        while time.monotonic() < passed:
            others.append((await sandbox.run_workflow(PROVIDER, WORKFLOW))[0].id)
        await post_message(suite, sandbox, late, {})
    expected = [(before, MESSAGE), (within, MESSAGE), (late, PLAIN), (late, MESSAGE), (plain, PLAIN)]
    expected += [(other, PLAIN) for other in others]
    assert await settled(sandbox, *expected) == heard(*expected)
