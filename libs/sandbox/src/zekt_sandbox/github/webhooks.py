"""Webhook bodies as GitHub writes them: plain functions that tests and benches call on their own."""

import json
from typing import Any

from zekt_sandbox.github.model import WorkflowRun
from zekt_sandbox.github.resources import account_json, organization_json, repository_json, run_json, workflow_json


def workflow_run_payload(run: WorkflowRun, *, action: str = "completed", installation_id: int | None = None) -> bytes:
    """The body of a `workflow_run` webhook, about 19 KB of compact JSON."""
    payload: dict[str, Any] = {
        "action": action,
        "workflow_run": run_json(run),
        "workflow": workflow_json(run.workflow, run.repository),
        "repository": repository_json(run.repository),
    }
    if run.repository.owner.type == "Organization":
        payload["organization"] = organization_json(run.repository.owner)
    payload["sender"] = account_json(run.actor)
    if installation_id is not None:
        payload["installation"] = {"id": installation_id, "node_id": f"MDIzOkludGVncmF0aW9u{installation_id}"}
    return json.dumps(payload, separators=(",", ":")).encode()
