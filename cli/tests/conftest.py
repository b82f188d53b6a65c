import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from zekt_cli.demo.story import Story
from zekt_cli.demo.suite import DemoSuite, running_suite

HERE = Path(__file__).parent


class Zekt(Protocol):
    """Runs `zekt` as a process."""

    def __call__(self, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let children know Ctrl-C: what a shell starts in the background ignores it, and so would they."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def environment(**extra: str) -> dict[str, str]:
    """This process's environment without settings of a suite."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("ZEKT_", "OTEL_"))} | extra


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep those that look at the shared suite together, so that it runs once."""
    for item in items:
        if item.path.is_relative_to(HERE) and "suite" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("shared-suite"))


@pytest.fixture
def zekt(tmp_path: Path) -> Zekt:
    """`zekt` in an empty directory."""

    def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [sys.executable, "-m", "zekt_cli", *arguments]
        return subprocess.run(  # noqa: S603 - our own interpreter and module
            command, cwd=tmp_path, env=environment(**env), capture_output=True, text=True, timeout=180, check=False
        )

    return run


@pytest.fixture(scope="session")
def suite() -> Iterator[DemoSuite]:
    """A suite and a stand-in, shared by the tests that only look."""
    with running_suite() as demo:
        yield demo


@pytest.fixture(scope="session")
def told(suite: DemoSuite) -> dict[str, Any]:
    """What the demo's story left in the shared suite."""
    story = Story(suite)
    story.onboard()
    run = story.start_run()
    answer = story.post_message(run)
    story.complete(run)
    found = story.dispatches(run)
    story.block()
    steps = story.trace(run)
    return {"run": run, "event_id": answer["eventId"], "dispatches": found, "steps": steps}
