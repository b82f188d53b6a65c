"""(a) Durable ingest beside a bare server that stores nothing, interleaved on one machine."""

import asyncio
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop

from bench.load import LoadResult, closed_loop
from bench.processes import cpu_s, process, wait_until_answering
from bench.webhooks import PLACEHOLDER_RUN_ID, WebhookRequests
from tests.ports import free_port
from zekt_sandbox import GitHubSandbox

SECRET = "bench-webhook-secret"
APP_ID = 1
ROUNDS = 5
REQUESTS = 6000
WARM_UP = 500
CONNECTIONS = 64
KINDS = ("ingress", "bare", "bare on uvloop")


async def webhook_template() -> bytes:
    """Return the body of a realistic `workflow_run` webhook of an enabled repository."""
    async with GitHubSandbox.start(webhook_url="http://127.0.0.1:1/") as sandbox:
        sandbox.create_repository("acme/provider")
        sandbox.create_workflow("acme/provider", ".github/workflows/ci.yml", name="CI")
        sandbox.create_installation("acme")
        await sandbox.start_run("acme/provider", ".github/workflows/ci.yml", send=False, id=PLACEHOLDER_RUN_ID)
        [delivery] = sandbox.complete_run_unsent(PLACEHOLDER_RUN_ID)
        return delivery.body


@contextmanager
def ingress(directory: Path) -> Iterator[tuple[int, int]]:
    """Run ingress alone, with its relay, and yield its port and process id."""
    port = free_port()
    env = {
        "ZEKT_DATA_DIR": str(directory / "data"),
        "ZEKT_PORT": str(port),
        "ZEKT_INTERNAL_PORT": "0",
        "ZEKT_GITHUB_APP_ID": str(APP_ID),
        "ZEKT_GITHUB_WEBHOOK_SECRETS": SECRET,
    }
    with process("zekt_ingress", env=env, log=directory / "ingress.log") as started:
        wait_until_answering(f"http://127.0.0.1:{port}/ready")
        yield port, started.pid


@contextmanager
def bare(loop_kind: str) -> Iterator[tuple[int, int]]:
    """Run the bare server and yield its port and process id."""
    port = free_port()
    with process("bench.bare_server", str(port), SECRET, loop_kind) as started:
        wait_for_port(port)
        yield port, started.pid


def wait_for_port(port: int) -> None:
    """Wait until somebody listens."""

    async def connect() -> None:
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return

    asyncio.run(connect())


def measure(port: int, pid: int, requests: WebhookRequests) -> tuple[LoadResult, list[float]]:
    """Load the server; return what came of it and the CPU microseconds per request of each of its processes."""
    uvloop.run(
        closed_loop(port, iter([next(requests) for _ in range(WARM_UP)]), count=WARM_UP, connections=CONNECTIONS)
    )
    prepared = [next(requests) for _ in range(REQUESTS)]
    before = cpu_s(pid)
    result = uvloop.run(closed_loop(port, iter(prepared), count=REQUESTS, connections=CONNECTIONS))
    assert set(result.statuses) == {202}, result.statuses
    after = cpu_s(pid)
    return result, [(after[one] - before.get(one, 0.0)) / REQUESTS * 1e6 for one in after]


def run() -> dict[str, Any]:
    """Measure all kinds in turn, five times, and return medians."""
    template = asyncio.run(webhook_template())
    requests = WebhookRequests(template, secret=SECRET, app_id=APP_ID)
    rows: dict[str, list[tuple[LoadResult, list[float]]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as name:
        for number in range(ROUNDS):
            directory = Path(name) / str(number)
            directory.mkdir()
            for kind in KINDS:
                server = ingress(directory) if kind == "ingress" else bare("uvloop" if "uvloop" in kind else "asyncio")
                with server as (port, pid):
                    rows[kind].append(measure(port, pid, requests))
    result = {kind: _summary(measured) for kind, measured in rows.items()}
    pairs = [ours.rate / theirs.rate for (ours, _), (theirs, _) in zip(rows["ingress"], rows["bare"], strict=True)]
    result["ratio to bare"] = {"median": statistics.median(pairs), "min": min(pairs), "max": max(pairs)}
    return result


def _summary(measured: list[tuple[LoadResult, list[float]]]) -> dict[str, Any]:
    return {
        "requests/s": statistics.median(result.rate for result, _ in measured),
        "p50 ms": statistics.median(result.percentile_ms(0.5) for result, _ in measured),
        "p99 ms": statistics.median(result.percentile_ms(0.99) for result, _ in measured),
        "cpu us/request": [
            round(statistics.median(column)) for column in zip(*(cpu for _, cpu in measured), strict=True)
        ],
    }


if __name__ == "__main__":
    for label, figures in run().items():
        print(f"{label:>16} {figures}")
