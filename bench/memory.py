"""(d) Memory over 100,000 webhooks into ingress alone, its writer and relay processes included."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import uvloop

from bench.ingest import APP_ID, CONNECTIONS, SECRET, ingress, webhook_template
from bench.load import closed_loop
from bench.processes import memory_mib
from bench.webhooks import WebhookRequests

WEBHOOKS = 100_000
STEPS = 10


def run() -> dict[str, Any]:
    """Return the resident memory in MiB after each tenth of the webhooks."""
    requests = WebhookRequests(asyncio.run(webhook_template()), secret=SECRET, app_id=APP_ID)
    with tempfile.TemporaryDirectory() as name, ingress(Path(name)) as (port, pid):
        after: dict[str, Any] = {"at start": round(memory_mib(pid), 1)}
        for step in range(1, STEPS + 1):
            count = WEBHOOKS // STEPS
            result = uvloop.run(closed_loop(port, requests, count=count, connections=CONNECTIONS))
            assert set(result.statuses) == {202}, result.statuses
            after[f"{step * count:,}"] = round(memory_mib(pid), 1)
        return {"MiB": after}


if __name__ == "__main__":
    for label, figures in run().items():
        print(label, figures)
