"""What may happen to messages on Service Bus: a bus that loses all of them, and one that nobody can deal with."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.e2e.azure_account import AzureAccount, running_account
from tests.e2e.catalogs import PROVIDER, WORKFLOW, catalog
from tests.e2e.counting import all_received, every_subscription
from tests.e2e.engines import in_four_processes, on_azure
from tests.e2e.messages import ARRIVES_WITHIN_S
from tests.e2e.poison import from_a_newer_program
from tests.e2e.sending import prepared, send_all, started_runs
from tests.e2e.suite import Suite, running_suite
from zekt_common.contracts.topology import subscriptions_of
from zekt_common.kit.handling import LONGEST_RETRY_S
from zekt_common.ports.bus import OutgoingMessage
from zekt_sandbox import GitHubSandbox

WEBHOOKS = 60
LOOKS_EVERY_S = 0.1


@pytest.fixture
def own_azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureAccount]:
    """Stand-ins for one test, which may move their clocks: those that are shared would stay ahead."""
    with running_account(tmp_path_factory.mktemp("azure")) as account:
        yield account


@pytest.fixture
async def own_suite(own_azure: AzureAccount, sandbox: GitHubSandbox, tmp_path: Path) -> AsyncIterator[Suite]:
    await own_azure.clear(tmp_path)
    async with running_suite("one process", tmp_path, sandbox, **own_azure.settings) as started:
        yield started


def rewind(suite: Suite, service: str, start: datetime) -> None:
    """`zekt relay rewind`, as an operator would."""
    where = ["--url", suite.url(service), "--data-dir", str(suite.data_dir), "--service", service]
    command = [sys.executable, "-m", "zekt_cli", "relay", "rewind", "--from", start.isoformat(), *where]
    subprocess.run(command, check=True, capture_output=True, timeout=90)


async def published(azure: AzureAccount, count: int) -> None:
    """Wait until the router's subscription holds so many of ingress's messages, received by it or not."""
    async with asyncio.timeout(ARRIVES_WITHIN_S):
        while True:
            held = await azure.held("ingress", "router")
            if held["active"] + held["locked"] >= count:
                return
            await asyncio.sleep(LOOKS_EVERY_S)


@pytest.mark.slow
@in_four_processes
@on_azure
async def test_a_bus_emptied_in_mid_run_and_rewound_has_lost_nothing_and_repeats_nothing(
    suite: Suite, sandbox: GitHubSandbox, azure: AzureAccount
) -> None:
    await suite.apply(catalog())
    runs = await started_runs(sandbox, WEBHOOKS)
    start = datetime.now(UTC)
    with suite.held("router"):
        await send_all(suite, prepared(sandbox, runs))
        await published(azure, WEBHOOKS)
        await azure.bus("POST", "/purge")
    after, _ = await sandbox.run_workflow(PROVIDER, WORKFLOW)
    await all_received(sandbox, every_subscription([after.id]), within_s=ARRIVES_WITHIN_S)
    expected = every_subscription([*runs, after.id])
    assert len(sandbox.dispatches()) < len(expected), "nothing was lost with the bus"
    await asyncio.to_thread(rewind, suite, "ingress", start)
    await all_received(sandbox, expected, within_s=ARRIVES_WITHIN_S)
    last, _ = await sandbox.run_workflow(PROVIDER, WORKFLOW)  # what is published again is published before it
    expected |= every_subscription([last.id])
    received = await all_received(sandbox, expected, within_s=ARRIVES_WITHIN_S)
    assert set(received) == expected
    assert received.total() == len(expected)


@pytest.mark.slow
async def test_a_poison_message_ends_in_the_dead_letters_with_its_reason_and_blocks_nobody(
    own_suite: Suite, sandbox: GitHubSandbox, own_azure: AzureAccount
) -> None:
    await own_suite.apply(catalog())
    poison = from_a_newer_program()
    async with own_azure.open_bus() as bus:
        await bus.publish("router", [OutgoingMessage(envelope=poison, to="dispatcher")])
    run, _ = await sandbox.run_workflow(PROVIDER, WORKFLOW)
    await all_received(sandbox, every_subscription([run.id]), within_s=ARRIVES_WITHIN_S)
    assert await dead_letters(own_suite) == [], "it was not given up before its last attempt"
    await own_azure.bus("POST", "/clock", seconds=LONGEST_RETRY_S)  # by which every retry is due at once
    async with asyncio.timeout(ARRIVES_WITHIN_S):
        while not (letters := await dead_letters(own_suite)):  # noqa: ASYNC110 - another process announces nothing
            await asyncio.sleep(LOOKS_EVERY_S)
    [terms] = [each for each in subscriptions_of("router") if each.name == "dispatcher"]
    [letter] = letters
    assert letter["attempt"] == terms.max_attempts
    assert letter["reason"] == f"handler failed {terms.max_attempts} times: UnknownEventType"
    assert letter["stream"] == poison.stream


async def dead_letters(suite: Suite) -> list[dict[str, object]]:
    answer = await suite.call("GET", "dispatcher", "/api/operations/dispatcher/dead-letters")
    letters: list[dict[str, object]] = answer["dead_letters"]
    return letters
