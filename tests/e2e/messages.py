"""Messages as a workflow posts them, and what consumers received."""

import json
from collections import Counter
from typing import Any

from tests.e2e.catalogs import PROVIDER
from tests.e2e.suite import Suite
from zekt_sandbox import GitHubSandbox

ARRIVES_WITHIN_S = 240
"""Windows on Azure close ten seconds later than on one machine, and the machine may be busy."""

Received = Counter[tuple[str, str, str]]


def message_of(run_id: int, payload: Any) -> dict[str, Any]:
    """Return a message as the run's workflow posts it."""
    return {
        "eventType": "deployment",
        "repository": PROVIDER,
        "workflowRunId": str(run_id),
        "triggeredBy": "octocat",
        "commitSha": "0" * 40,
        "ref": "refs/heads/main",
        "workflow": "CI",
        "payload": payload,
        "timestamp": "2026-01-01T00:00:00Z",
    }


async def post_message(suite: Suite, sandbox: GitHubSandbox, run_id: int, payload: Any) -> dict[str, Any]:
    """Post a message with the run's own token; anything but 200 fails the test."""
    headers = {"Authorization": f"Bearer {sandbox.mint_oidc_token(run_id)}", "X-GitHub-Repository": PROVIDER}
    url = f"{suite.url('ingress')}/api/events/receive"
    async with suite.http.post(url, json=message_of(run_id, payload), headers=headers) as answer:
        content: dict[str, Any] = await answer.json()
        assert answer.status == 200, content
        return content


def payload_of(body: bytes) -> dict[str, Any]:
    """Return the client payload of a dispatch."""
    payload: dict[str, Any] = json.loads(body)["client_payload"]
    return payload


def received(sandbox: GitHubSandbox) -> Received:
    """Return how often each consumer heard of which event of which run."""
    bodies = [(dispatch.repository, json.loads(dispatch.body)) for dispatch in sandbox.dispatches()]
    return Counter(
        (repository, body["client_payload"]["zekt"]["correlationId"], body["event_type"]) for repository, body in bodies
    )
