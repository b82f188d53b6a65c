"""What is to be heard of runs, by the times at which ingress stored what it was told of them, and nothing else."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.e2e.suite import Suite

PLAIN, MESSAGE = "zekt-workflow-completed", "deployment"
PAGE = 1000

Outcome = tuple[int, str]


async def outcomes(suite: Suite, *, window_s: float) -> list[Outcome]:
    """Return for each completed run whether its message takes the plain event's place, comes beside it or never was."""
    events = await _stored(suite)
    completed = {_run(event): _time(event) for event in reversed(events) if event["data"].get("run")}
    said = {_run(event): _time(event) for event in events if event["type"] == "dev.zekt.message.received"}
    assert said.keys() <= completed.keys()
    closed = {run: at + timedelta(seconds=window_s) for run, at in completed.items()}
    plain = [(run, PLAIN) for run in completed if run not in said or said[run] > closed[run]]
    return plain + [(run, MESSAGE) for run in said]


async def _stored(suite: Suite) -> Sequence[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        query = {"limit": str(PAGE), "cursor": cursor}
        page = await suite.call("GET", "ingress", "/api/operations/ingress/events", query=query)
        if not page["events"]:
            return found
        found += page["events"]
        cursor = page["cursor"]


def _run(event: dict[str, Any]) -> int:
    return int(event["subject"].rpartition("/")[2])


def _time(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["time"])
