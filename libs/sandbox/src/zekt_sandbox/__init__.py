"""Stand-ins for the outside world on 127.0.0.1, for tests and local trials."""

from zekt_sandbox.github.limits import Limits
from zekt_sandbox.github.sandbox import GitHubSandbox, NotLoopbackError
from zekt_sandbox.github.signing import Hook, sign, webhook_headers
from zekt_sandbox.github.webhooks import workflow_run_payload

__all__ = ["GitHubSandbox", "Hook", "Limits", "NotLoopbackError", "sign", "webhook_headers", "workflow_run_payload"]
