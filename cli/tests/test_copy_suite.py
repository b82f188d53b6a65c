import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cli.tests.conftest import Zekt, environment
from cli.tests.progress import WITHIN_S, eventually, is_idle, status_of
from cli.tests.test_provision import cosmos
from libs.common.tests.azure.azurite import azurite_or_skip

from zekt_cli.client import HttpClient, SuiteClient
from zekt_cli.demo.github import GitHub
from zekt_cli.demo.story import CONSUMERS, LISTED, PROVIDER, Story
from zekt_cli.demo.suite import DemoSuite
from zekt_cli.hosting.child import child
from zekt_cli.suite import SANDBOX_FILE, locate
from zekt_common.adapters.servicebus_topology import emulator_config
from zekt_sandbox.azurite import Azurite

STARTS_WITHIN_S = 60.0
ENDS_WITHIN_S = 12.0
PORTS = {"ZEKT_PORT": "0", "ZEKT_INTERNAL_PORT": "0", "ZEKT_SANDBOX_PORT": "0"}


@pytest.fixture(scope="module")
def azurite() -> Iterator[Azurite]:
    with azurite_or_skip() as running:
        yield running


@pytest.fixture
def azure(tmp_path: Path, azurite: Azurite) -> Iterator[dict[str, str]]:
    """Stand-ins that outlive suites; a namespace with the topics, and an empty account."""
    config = tmp_path / "config.json"
    config.write_bytes(msgspec.json.encode(emulator_config()))
    bus = ["zekt_sandbox.servicebus", "--config", str(config), "--port", "0", "--control-port", "0"]
    with (
        cosmos(tmp_path / "cosmos.log") as account,
        child(bus, log=tmp_path / "bus.log", ends_within_s=3) as namespace,
    ):
        connection = json.loads(namespace.ready_line(20))["connection_string"]
        blobs = azurite.connection_string
        yield account | {"ZEKT_SERVICEBUS_CONNECTION": connection, "ZEKT_BLOB_CONNECTION": blobs}


@contextmanager
def suite(directory: Path, **env: str) -> Iterator[DemoSuite]:
    data_dir = directory / "data"
    settings = environment(**PORTS, **env, ZEKT_DATA_DIR=str(data_dir))
    arguments = ["zekt_cli", "up", "--sandbox", "--json"]
    with child(arguments, log=directory / "suite.log", ends_within_s=ENDS_WITHIN_S, env=settings) as started:
        started.ready_line(STARTS_WITHIN_S)
        sandbox = msgspec.json.decode((data_dir / SANDBOX_FILE).read_bytes())
        yield DemoSuite(SuiteClient(locate((), data_dir)), GitHub(HttpClient(sandbox["github"])), data_dir)


def run_to_dispatches(story: Story) -> None:
    run = story.start_run()
    story.post_message(run)
    story.complete(run)
    assert len(story.dispatches(run)) == len(CONSUMERS)


def onboard_at_github(github: GitHub) -> None:
    """Make at a new stand-in what the catalog speaks of, in the order that gave it its ids."""
    github.onboard(PROVIDER, {LISTED: "Release", ".github/workflows/nightly.yml": "Nightly"})
    for consumer in CONSUMERS:
        github.onboard(consumer, {})


@pytest.mark.slow
def test_a_suite_on_azure_goes_on_where_the_one_machine_stopped(
    zekt: Zekt, azure: dict[str, str], tmp_path: Path
) -> None:
    began = datetime.now(UTC) - timedelta(minutes=1)
    with suite(tmp_path) as demo:
        story = Story(demo)
        story.onboard()
        run_to_dispatches(story)
    assert zekt("provision", **azure).returncode == 0
    copied = zekt("copy", "--from", "sqlite", "--to", "azure", "--data-dir", tmp_path / "data", **azure)
    assert copied.returncode == 0, copied.stderr
    with suite(tmp_path, ZEKT_BACKEND="azure", **azure) as demo:
        onboard_at_github(demo.github)
        run_to_dispatches(Story(demo, patience_s=WITHIN_S))
        published = status_of(demo, "router")["relay"]["published"]
        rewound = zekt("relay", "rewind", "--from", began.isoformat(), "--data-dir", tmp_path / "data")
        assert rewound.returncode == 0, rewound.stderr
        eventually(lambda: status_of(demo, "router")["relay"]["published"] >= 2 * published + len(CONSUMERS))
        eventually(lambda: all(is_idle(demo, service) for service in ("ingress", "router", "dispatcher")))
        assert len(demo.github.dispatches()) == len(CONSUMERS)
