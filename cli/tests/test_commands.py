import asyncio
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from cli.tests.conftest import Zekt
from cli.tests.progress import eventually, is_idle, status_of
from click.testing import CliRunner, Result

from zekt_cli.__main__ import COMMANDS, main
from zekt_cli.demo.suite import DemoSuite
from zekt_common.adapters.embedded import open_backend
from zekt_common.ports import Put, Remove


def invoke(suite: DemoSuite, *arguments: str) -> Result:
    """Run a command against the shared suite, in this process."""
    env = {"ZEKT_DATA_DIR": str(suite.data_dir)}
    return CliRunner(env=env).invoke(main, arguments)


def answer(suite: DemoSuite, *arguments: str) -> Any:
    result = invoke(suite, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "catalog.yaml"
    path.write_bytes((files("zekt_cli.demo") / "catalog.yaml").read_bytes())
    return path


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert "--help" in result.output


def test_an_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(main, ["nonsense"]).exit_code == 2


@pytest.mark.usefixtures("told")
def test_applying_the_same_catalog_again_changes_nothing(suite: DemoSuite, catalog: Path) -> None:
    result = invoke(suite, "apply", "-f", str(catalog))
    assert (result.exit_code, result.output) == (0, "nothing to change\n")


@pytest.mark.usefixtures("told")
def test_a_dry_run_prints_the_difference_and_changes_nothing(suite: DemoSuite, catalog: Path) -> None:
    catalog.write_text(catalog.read_text().replace("branches: [main]", "branches: [main, next]"))
    for _ in range(2):
        result = invoke(suite, "apply", "-f", str(catalog), "--dry-run")
        assert result.exit_code == 0
        assert "~ workflow" in result.output
        assert "1 change would be made" in result.output


@pytest.mark.usefixtures("told")
def test_what_a_file_leaves_out_stays_unless_it_is_pruned(suite: DemoSuite, catalog: Path) -> None:
    lines = [line for line in catalog.read_text().splitlines() if "target: gamma/consumer" not in line]
    catalog.write_text("\n".join(lines))
    assert invoke(suite, "apply", "-f", str(catalog)).output == "nothing to change\n"
    pruned = invoke(suite, "apply", "-f", str(catalog), "--prune", "--dry-run").output
    assert "- subscription" in pruned
    assert pruned.endswith("1 change would be made\n")


@pytest.mark.usefixtures("told")
def test_a_change_is_applied_and_seen_by_every_service(suite: DemoSuite, catalog: Path) -> None:
    before = catalog.read_text()
    catalog.write_text(before.replace("alias: Acme releases", "alias: Acme's releases"))
    assert "~ service" in invoke(suite, "apply", "-f", str(catalog)).output
    catalog.write_text(before)
    assert answer(suite, "apply", "-f", str(catalog))["positions"]
    assert invoke(suite, "apply", "-f", str(catalog)).output == "nothing to change\n"


def test_a_wrong_catalog_is_told_by_file_line_and_column(zekt: Zekt, tmp_path: Path) -> None:
    (tmp_path / "catalog.yaml").write_text("apiVersion: zekt.dev/v1\naccounts:\n  - {login: acme, persona: boss}\n")
    ended = zekt("apply", "-f", "catalog.yaml")
    assert ended.returncode == 2
    assert "catalog.yaml:3:28: expected one of provider, consumer, both, found 'boss'" in ended.stderr


@pytest.mark.usefixtures("told")
def test_what_only_the_suite_can_find_wrong_is_told_by_line_too(suite: DemoSuite, catalog: Path) -> None:
    catalog.write_text(catalog.read_text().replace("type: string}", "type: strange}"))
    [line] = [number for number, text in enumerate(catalog.read_text().splitlines(), start=1) if "strange" in text]
    result = invoke(suite, "apply", "-f", str(catalog))
    assert result.exit_code == 2, result.output
    assert f"catalog.yaml:{line}:13: " in result.output


def test_a_file_that_is_not_there_is_a_usage_error(zekt: Zekt) -> None:
    assert zekt("apply", "-f", "nowhere.yaml").returncode == 2


def test_without_a_suite_every_command_says_that_it_is_not_reachable(zekt: Zekt, catalog: Path) -> None:
    assert zekt("status").returncode == 3
    assert zekt("apply", "-f", catalog, "--url", "http://127.0.0.1:9").returncode == 3


def test_without_the_operator_token_a_command_is_refused(suite: DemoSuite, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["events", "--url", suite.suite.url, "--data-dir", str(tmp_path)])
    assert result.exit_code == 5
    assert "operator token" in result.output


@pytest.mark.usefixtures("told")
def test_status_shows_readiness_and_each_services_parts(suite: DemoSuite) -> None:
    found = answer(suite, "status")
    assert found["status"] == "ready"
    assert {"ingress", "router", "dispatcher"} <= set(found["services"])
    assert "is ready" in invoke(suite, "status").output


@pytest.mark.usefixtures("told")
async def test_status_counts_the_messages_that_the_bus_refused(suite: DemoSuite) -> None:
    note = Put(partition="refused-messages", id="router/run/1@2", body=b"{}")
    async with open_backend(suite.data_dir, "router") as backend:
        await backend.views.write([note])
        try:
            shown = await asyncio.to_thread(invoke, suite, "status")
        finally:
            await backend.views.write([Remove(partition=note.partition, id=note.id)])
    assert shown.output.count("1 refused by the bus") == 1
    assert "refused by the bus" not in (await asyncio.to_thread(invoke, suite, "status")).output


def test_events_are_filtered_by_type_and_service(suite: DemoSuite, told: dict[str, Any]) -> None:
    run = f"run/{told['run'].correlation}"
    lines = [json.loads(line) for line in invoke(suite, "events", "--stream", run, "--json").output.splitlines()]
    assert {line["stream"] for line in lines} == {run}
    shown = invoke(suite, "events", "--service", "dispatcher", "--type", "delivery.dispatched").output.splitlines()
    assert len(shown) == 2


def test_deliveries_are_listed_and_shown_one_by_one(suite: DemoSuite, told: dict[str, Any]) -> None:
    ids = {sent.client_payload["zekt"]["deliveryId"] for sent in told["dispatches"]}
    listed = json.dumps(answer(suite, "deliveries"))
    for delivery_id in ids:
        assert delivery_id in listed
        assert delivery_id in invoke(suite, "deliveries", delivery_id).output
    assert invoke(suite, "deliveries").exit_code == 0
    assert invoke(suite, "deliveries", "0" * 32).exit_code == 1
    assert invoke(suite, "deliveries", "--status", "lost").exit_code == 2


def test_one_trace_is_found_by_run_delivery_event_message_and_webhook(suite: DemoSuite, told: dict[str, Any]) -> None:
    webhook = next(step.event.envelope for step in told["steps"] if step.event.envelope.stream.startswith("webhook/"))
    ids = [
        told["run"].correlation,
        told["dispatches"][0].client_payload["zekt"]["deliveryId"],
        webhook.id,
        told["event_id"],
        webhook.stream.rpartition("/")[2],
    ]
    traces = [answer(suite, "trace", wanted)["steps"] for wanted in ids]
    assert all(trace == traces[0] for trace in traces)
    assert [step["number"] for step in traces[0]] == list(range(1, len(traces[0]) + 1))
    assert "webhook.received" in invoke(suite, "trace", ids[0]).output


def test_a_trace_of_nothing_fails(suite: DemoSuite) -> None:
    for unknown in ("1/2", "0" * 32, "evt-none", "run/1/2@1"):
        assert invoke(suite, "trace", unknown).exit_code == 1


@pytest.mark.usefixtures("told")
def test_there_are_no_dead_letters(suite: DemoSuite) -> None:
    assert invoke(suite, "dlq").output == "no dead letters\n"


@pytest.mark.usefixtures("told")
def test_a_rewind_publishes_again_and_nobody_is_dispatched_twice(suite: DemoSuite) -> None:
    before, published = len(suite.github.dispatches()), status_of(suite, "router")["relay"]["published"]
    found = answer(suite, "relay", "rewind", "--from", "2020-01-01")
    assert {"ingress", "router"} <= set(found["services"])
    assert answer(suite, "relay", "rewind", "--from", "2020-01-01", "--to", "router")["services"] == [
        "ingress",
        "identity",
    ]
    assert invoke(suite, "relay", "rewind", "--from", "yesterday").exit_code == 2
    eventually(lambda: status_of(suite, "router")["relay"]["published"] >= 2 * published)
    eventually(lambda: all(is_idle(suite, service) for service in ("ingress", "router", "dispatcher")))
    assert len(suite.github.dispatches()) == before
