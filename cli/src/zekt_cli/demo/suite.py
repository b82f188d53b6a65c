"""A suite of the demo's own: real processes on free ports, and a directory that is gone afterwards."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from zekt_cli.client import HttpClient, SuiteClient
from zekt_cli.demo.checks import CheckFailed
from zekt_cli.demo.github import GitHub
from zekt_cli.hosting.child import Child, ChildFailed, child
from zekt_cli.suite import SANDBOX_FILE, locate

STARTS_WITHIN_S: Final = 60.0
ENDS_WITHIN_S: Final = 12.0


@dataclass(frozen=True)
class DemoSuite:
    """The suite, the stand-in beside it and where both keep their data."""

    suite: SuiteClient
    github: GitHub
    data_dir: Path


@contextmanager
def running_suite(backend: str = "sqlite") -> Iterator[DemoSuite]:
    """Run `zekt up --sandbox` on an engine until the block ends, however it ends.

    Raises:
        CheckFailed: it does not become ready; the message is the last that it said.
    """
    with tempfile.TemporaryDirectory(prefix="zekt-demo-") as directory:
        data_dir, log = Path(directory) / "data", Path(directory) / "suite.log"
        arguments = ["zekt_cli", "up", "--backend", backend, "--sandbox", "--json"]
        with child(arguments, log=log, ends_within_s=ENDS_WITHIN_S, env=_environment(data_dir)) as started:
            _await_ready(started)
            sandbox = msgspec.json.decode((data_dir / SANDBOX_FILE).read_bytes())
            yield DemoSuite(SuiteClient(locate((), data_dir)), GitHub(HttpClient(sandbox["github"])), data_dir)


def _await_ready(started: Child) -> None:
    try:
        started.ready_line(STARTS_WITHIN_S)
    except ChildFailed as error:
        raise CheckFailed(f"the suite becomes ready (found: {error})") from error


def _environment(data_dir: Path) -> dict[str, str]:
    """Return this environment without settings of another suite, and with free ports."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ZEKT_")}
    ports = dict.fromkeys(("ZEKT_PORT", "ZEKT_INTERNAL_PORT", "ZEKT_SANDBOX_PORT"), "0")
    return {**inherited, **ports, "ZEKT_DATA_DIR": str(data_dir)}
