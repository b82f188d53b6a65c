"""How far a running suite has come, as its own routes tell it."""

import time
from collections.abc import Callable
from typing import Any

from zekt_cli.demo.suite import DemoSuite

WITHIN_S = 60.0


def status_of(demo: DemoSuite, service: str) -> dict[str, Any]:
    found: dict[str, Any] = demo.suite.request("GET", f"/api/operations/{service}/status").body
    return found


def is_idle(demo: DemoSuite, service: str) -> bool:
    status = status_of(demo, service)
    waiting = [each["backlog"] or each["in_flight"] for each in status["consumers"].values()]
    return not any([*waiting, status.get("relay", {}).get("lag_s")])


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
