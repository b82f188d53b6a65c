"""What a run is made of: completed attempts, the messages they sent, and the ids that follow from them."""

import hashlib
from datetime import datetime
from typing import Final

import msgspec

from zekt_common.inline_json import InlineJson
from zekt_common.ports.payloads import PayloadRef

PLAIN_EVENT_TYPE: Final = "zekt-workflow-completed"
MAX_PAYLOAD_BYTES: Final = 512 * 1024
PAGE_SIZE: Final = 100
_ID_LENGTH: Final = 32


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """One completed attempt of a run, as GitHub told it; `received_at` is the time it was stored."""

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


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message that an attempt sent; `received_at` is the time it was stored."""

    message_id: str
    received_at: datetime
    repository_id: int
    owner_id: int
    run_id: int
    run_attempt: int
    event_type: str
    size_bytes: int
    payload: InlineJson = None
    payload_ref: PayloadRef | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery to be made to one subscription."""

    delivery_id: str
    subscription_id: str
    service_slug: str
    service_alias: str
    target_repository_id: int
    target_repository: str
    installation_id: int


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription that is not delivered to, by a stable reason."""

    subscription_id: str
    service_slug: str
    target_repository_id: int
    reason: str
    detail: str = ""


def run_stream(repository_id: int, run_id: int) -> str:
    """Return the stream that holds the run with all its attempts."""
    return f"run/{repository_id}/{run_id}"


def run_subject(repository_id: int, run_id: int) -> str:
    """Return the subject and correlation id of everything about the run."""
    return f"{repository_id}/{run_id}"


def delivery_id(repository_id: int, run_id: int, run_attempt: int, message_id: str | None, subscription_id: str) -> str:
    """Return the id of this delivery: 32 hex digits, the same whenever and however often it is decided."""
    parts = f"{repository_id}/{run_id}/{run_attempt}/{message_id or 'completed'}/{subscription_id}"
    return hashlib.sha256(parts.encode()).hexdigest()[:_ID_LENGTH]
