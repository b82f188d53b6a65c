"""Webhooks as GitHub writes and signs them: plain functions that tests and benches call on their own."""

import hashlib
import hmac
import json
from typing import Any

from zekt_sandbox.github.model import Account, Hook, WorkflowRun
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


def ping_payload(hook: Hook, sender: Account) -> bytes:
    """The body of the `ping` that GitHub sends for a new hook."""
    config = {"content_type": "json", "url": hook.url, "insecure_ssl": "0", "secret": "********"}
    shown = {"type": "App", "id": hook.id, "name": "web", "active": True, "events": ["workflow_run"], "config": config}
    payload = {"zen": "Keep it logically awesome.", "hook_id": hook.id, "hook": shown, "sender": account_json(sender)}
    return json.dumps(payload, separators=(",", ":")).encode()


def sign(secret: str, body: bytes) -> str:
    """The value of `X-Hub-Signature-256`."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def sign_sha1(secret: str, body: bytes) -> str:
    """The value of the legacy `X-Hub-Signature`, which GitHub still sends beside the other."""
    return "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()


def webhook_headers(hook: Hook, *, event: str, guid: str, body: bytes) -> dict[str, str]:
    """The headers that GitHub sends with `body` through `hook`."""
    return {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/6113728",
        "X-GitHub-Delivery": guid,
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": str(hook.id),
        "X-GitHub-Hook-Installation-Target-ID": str(hook.target_id),
        "X-GitHub-Hook-Installation-Target-Type": hook.target_type,
        "X-Hub-Signature": sign_sha1(hook.secret, body),
        "X-Hub-Signature-256": sign(hook.secret, body),
    }
