"""Signed `workflow_run` webhooks for load: one realistic payload, a fresh run id and GUID for every request."""

import hmac
import uuid
from collections.abc import Iterator

from zekt_sandbox.github.webhooks import workflow_run_payload

PLACEHOLDER_RUN_ID = 9_100_000_001


class WebhookRequests:
    """An endless supply of complete HTTP requests, each a webhook about another run."""

    def __init__(self, template: bytes, *, secret: str, app_id: int, first_run_id: int = 10_000_000_000) -> None:
        self._template = template
        self._secret = secret.encode()
        self._app_id = app_id
        self.next_run_id = first_run_id

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        run_id = self.next_run_id
        self.next_run_id += 1
        body = self._template.replace(b"%d" % PLACEHOLDER_RUN_ID, b"%d" % run_id)
        signature = hmac.digest(self._secret, body, "sha256").hex()
        head = (
            "POST /webhooks/github HTTP/1.1\r\nHost: zekt.test\r\nUser-Agent: GitHub-Hookshot/bench\r\n"
            "Content-Type: application/json\r\nAccept: */*\r\nX-GitHub-Event: workflow_run\r\n"
            f"X-GitHub-Delivery: {uuid.uuid4()}\r\nX-GitHub-Hook-ID: 1\r\n"
            f"X-GitHub-Hook-Installation-Target-Type: integration\r\n"
            f"X-GitHub-Hook-Installation-Target-ID: {self._app_id}\r\n"
            f"X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


__all__ = ["PLACEHOLDER_RUN_ID", "WebhookRequests", "workflow_run_payload"]
