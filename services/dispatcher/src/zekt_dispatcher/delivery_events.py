"""The stored events of a delivery. Each names the timer that it ends, so that the timers follow from events alone."""

from datetime import datetime
from typing import ClassVar, Literal

import msgspec

from zekt_common.envelope import Event
from zekt_common.inline_json import InlineJson
from zekt_common.ports.payloads import PayloadRef
from zekt_common.schemas import Schemas

Category = Literal["unavailable", "timeout", "network", "auth", "rate_limit", "busy", "gone", "invalid", "expired"]
"""What kind of trouble it was, as consumers' diagnostics count it."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a delivery comes from, as its consumer may see it."""

    repository: str
    service_owner: str
    service_slug: str
    service_alias: str
    workflow: str
    conclusion: str


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be delivered and to whom; a replay repeats its original's. The payload is inline or by reference."""

    delivery_id: str
    subscription_id: str
    repository_id: int
    owner_id: int
    run_id: int
    run_attempt: int
    message_id: str | None
    event_type: str
    source: Source
    target_repository_id: int
    target_repository: str
    installation_id: int
    late: bool = False
    is_replay: bool = False
    replay_of: str | None = None
    size_bytes: int = 0
    payload: InlineJson = None
    payload_ref: PayloadRef | None = None

    @property
    def correlation_id(self) -> str:
        """What the events of one run have in common."""
        return f"{self.repository_id}/{self.run_id}"


class DeliveryRequested(Event, frozen=True, kw_only=True):
    """A delivery was asked for. `event_time` is when that was stored where it was decided.

    `due_at` is None when what happens next is stored with it.
    """

    TYPE: ClassVar[str] = "dev.zekt.delivery.requested"

    order: Order
    at: datetime
    event_time: datetime
    due_at: datetime | None


class DeliveryStep(Event, frozen=True, kw_only=True):
    """What every later event says: `requested_at` is its place in lists, `ends_timer` the timer that it ends."""

    delivery_id: str
    requested_at: datetime
    at: datetime
    ends_timer: datetime | None


class DeliveryAttempted(DeliveryStep, frozen=True, kw_only=True):
    """The dispatch is about to be posted. With no outcome stored by the deadline, nobody knows what became of it."""

    TYPE: ClassVar[str] = "dev.zekt.delivery.attempted"

    attempt: int
    deadline: datetime


class DeliveryDispatched(DeliveryStep, frozen=True, kw_only=True):
    """GitHub took the dispatch. `evidence` is its answer, or the consumer's word for an attempt that had none."""

    TYPE: ClassVar[str] = "dev.zekt.delivery.dispatched"

    attempt: int
    evidence: Literal["answer", "consumer"]


class AttemptFailed(DeliveryStep, frozen=True, kw_only=True):
    """GitHub did not take the dispatch, and never will by this attempt; None for `retry_at` means no further one."""

    TYPE: ClassVar[str] = "dev.zekt.delivery.attempt-failed"

    attempt: int
    category: Category
    reason: str
    status: int | None
    retry_at: datetime | None


class AttemptAmbiguous(DeliveryStep, frozen=True, kw_only=True):
    """GitHub may or may not have taken the dispatch, so that a further attempt may be its second."""

    TYPE: ClassVar[str] = "dev.zekt.delivery.attempt-ambiguous"

    attempt: int
    category: Category
    reason: str
    retry_at: datetime | None


class DeliveryPostponed(DeliveryStep, frozen=True, kw_only=True):
    """No attempt could be made."""

    TYPE: ClassVar[str] = "dev.zekt.delivery.postponed"

    category: Category
    reason: str
    retry_at: datetime


class DeliveryDeadLettered(DeliveryStep, frozen=True, kw_only=True):
    """The delivery was given up."""

    TYPE: ClassVar[str] = "dev.zekt.delivery.dead-lettered"

    category: Category
    reason: str


class DeliveryExpired(DeliveryStep, frozen=True, kw_only=True):
    """The delivery was too old before any attempt, so that none was made."""

    TYPE: ClassVar[str] = "dev.zekt.delivery.expired"

    age_s: int


class DeliveryConfirmed(DeliveryStep, frozen=True, kw_only=True):
    """The consumer's run has begun."""

    TYPE: ClassVar[str] = "dev.zekt.delivery.confirmed"

    consumer_run_id: int


class DeliveryCompleted(DeliveryStep, frozen=True, kw_only=True):
    """The consumer's run says that it succeeded."""

    TYPE: ClassVar[str] = "dev.zekt.delivery.completed"

    consumer_run_id: int
    conclusion: str | None


class DeliveryFailed(DeliveryStep, frozen=True, kw_only=True):
    """The consumer's run says that it failed."""

    TYPE: ClassVar[str] = "dev.zekt.delivery.failed"

    consumer_run_id: int
    conclusion: str | None


class DeliveryReplayed(DeliveryStep, frozen=True, kw_only=True):
    """The delivery shall be made once more, as `replay_id`. The stream is due at `due_at`, to see to it."""

    TYPE: ClassVar[str] = "dev.zekt.delivery.replayed"

    number: int
    replay_id: str
    due_at: datetime


SCHEMAS = Schemas(
    [
        DeliveryRequested,
        DeliveryAttempted,
        DeliveryDispatched,
        AttemptFailed,
        AttemptAmbiguous,
        DeliveryPostponed,
        DeliveryDeadLettered,
        DeliveryExpired,
        DeliveryConfirmed,
        DeliveryCompleted,
        DeliveryFailed,
        DeliveryReplayed,
    ]
)
