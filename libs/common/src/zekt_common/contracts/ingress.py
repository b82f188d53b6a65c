"""What ingress publishes: completed runs, messages, what the App is told of itself, and how far it has published."""

from datetime import datetime
from typing import ClassVar

from zekt_common.envelope import Event
from zekt_common.inline_json import InlineJson
from zekt_common.ports.payloads import PayloadRef


class RunCompleted(Event, frozen=True, kw_only=True):
    """A `workflow_run` webhook with action `completed`; for `router`."""

    TYPE: ClassVar[str] = "dev.zekt.ingress.run-completed"

    received_at: datetime
    repository_id: int
    repository: str
    owner_id: int
    run_id: int
    run_attempt: int
    workflow_path: str
    workflow_name: str
    conclusion: str
    trigger: str
    branch: str
    commit_sha: str
    head_repository_id: int | None
    installation_id: int | None


class MessageReceived(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A message that a run posted, redacted; for `router`. The payload is inline JSON or a reference, never both."""

    TYPE: ClassVar[str] = "dev.zekt.ingress.message-received"

    received_at: datetime
    message_id: str
    repository_id: int
    repository: str
    owner_id: int
    run_id: int
    run_attempt: int
    workflow_path: str
    event_type: str
    size_bytes: int
    payload: InlineJson = None
    payload_ref: PayloadRef | None = None


class AppWebhookReceived(Event, frozen=True, kw_only=True):
    """A webhook of the App about its installations, their repositories or people; for `identity`, which reads the body.

    `event` and `action` are GitHub's words. The body is in the payloads, as it came and was signed.
    """

    TYPE: ClassVar[str] = "dev.zekt.ingress.app-webhook-received"

    received_at: datetime
    event: str
    action: str | None
    payload_ref: PayloadRef


class Watermark(Event, frozen=True, kw_only=True):
    """Everything that ingress stored up to `through` has been published; for `router`, not a stored event."""

    TYPE: ClassVar[str] = "dev.zekt.ingress.watermark"

    through: datetime
