"""(b) The whole suite: sustained runs, a burst, and the latency from webhook to dispatch."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from bench.load import LoadResult, closed_loop, open_loop
from bench.suites import CONSUMERS, RunningSuite, running_suite, webhook_body
from bench.webhooks import PLACEHOLDER_RUN_ID, WebhookRequests

SUSTAINED_RATE, SUSTAINED_S = 200, 30
BURST = 5000
LATENCY_RATE, LATENCY_S, WARM_UP_S = 100, 20, 3


def sustained(suite: RunningSuite, requests: WebhookRequests) -> dict[str, Any]:
    """Send 200 completed runs a second for 30 s; the backlog left at the end tells whether the suite kept up."""
    suite.forget_dispatches()
    started = time.time()
    result = uvloop.run(
        open_loop(suite.ingress_port, requests, rate=SUSTAINED_RATE, duration_s=SUSTAINED_S, connections=64)
    )
    sent = time.time()
    dispatches = suite.dispatches(SUSTAINED_RATE * SUSTAINED_S * len(CONSUMERS))
    drained_s = max(one["received_at_s"] for one in dispatches) - sent
    return {
        **_acknowledged(result),
        "dispatches": len(dispatches),
        "drained after the last webhook s": drained_s,
        "runs/s to the last dispatch": SUSTAINED_RATE * SUSTAINED_S / (sent + max(drained_s, 0) - started),
    }


def burst(suite: RunningSuite, requests: WebhookRequests) -> dict[str, Any]:
    """Send 5,000 webhooks as fast as 64 connections get their answers; then see how long the backlog takes."""
    suite.forget_dispatches()
    prepared = [next(requests) for _ in range(BURST)]
    started = time.time()
    result = uvloop.run(closed_loop(suite.ingress_port, iter(prepared), count=BURST, connections=64))
    dispatches = suite.dispatches(BURST * len(CONSUMERS))
    drained_s = max(one["received_at_s"] for one in dispatches) - started
    return {
        **_acknowledged(result),
        "dispatches": len(dispatches),
        "first webhook to last dispatch s": drained_s,
        "runs/s": BURST / drained_s,
    }


def warmed_up_latency(suite: RunningSuite, requests: WebhookRequests) -> dict[str, Any]:
    """Measure after three seconds of the same load, which a process that has just started needs."""
    latency(suite, requests, for_s=WARM_UP_S)
    return latency(suite, requests)


def latency(suite: RunningSuite, requests: WebhookRequests, *, for_s: int = LATENCY_S) -> dict[str, Any]:
    """Send 100 completed runs a second and compare when each was due with when its dispatches arrived."""
    suite.forget_dispatches()
    first_run_id = requests.next_run_id
    result = uvloop.run(open_loop(suite.ingress_port, requests, rate=LATENCY_RATE, duration_s=for_s))
    started_s = time.time() - (time.perf_counter() - result.started)
    dispatches = suite.dispatches(LATENCY_RATE * for_s * len(CONSUMERS))
    delays = []
    for one in dispatches:
        number = int(one["client_payload"]["zekt"]["correlationId"]) - first_run_id
        delays.append((one["received_at_s"] - started_s - number / LATENCY_RATE) * 1000)
    delays.sort()
    return {
        **_acknowledged(result),
        "dispatches": len(delays),
        "webhook to dispatch p50 ms": statistics.median(delays),
        "webhook to dispatch p99 ms": delays[int(len(delays) * 0.99)],
    }


def _acknowledged(result: LoadResult) -> dict[str, Any]:
    assert set(result.statuses) == {202}, result.statuses
    return {"ack p50 ms": result.percentile_ms(0.5), "ack p99 ms": result.percentile_ms(0.99)}


def run() -> dict[str, Any]:
    """Measure both topologies, each on fresh data."""
    results: dict[str, Any] = {}
    for four in (False, True):
        topology = "four processes" if four else "zekt up"
        with tempfile.TemporaryDirectory() as name, running_suite(Path(name), four_processes=four) as suite:
            body = webhook_body(suite, PLACEHOLDER_RUN_ID)
            requests = WebhookRequests(body, secret=suite.webhook_secret, app_id=suite.app_id)
            for measure in (warmed_up_latency, sustained, burst):
                results[f"{topology}: {measure.__name__}"] = measure(suite, requests)
    return results


if __name__ == "__main__":
    for label, figures in run().items():
        print(label, {name: round(value, 2) for name, value in figures.items()})
