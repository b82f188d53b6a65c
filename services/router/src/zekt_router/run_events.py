"""The stored events of a run. `due_at` says when the run must be looked at again; the sweeper follows it."""

from datetime import datetime
from typing import ClassVar

from zekt_common.envelope import Event
from zekt_common.inline_json import InlineJson
from zekt_common.ports.payloads import PayloadRef
from zekt_common.schemas import Schemas
from zekt_router.run_model import Completion, Message, Refused, Target


class RunBlocked(Event, frozen=True, kw_only=True):
    """The provider's policy blocks this attempt; nobody hears of it."""

    TYPE: ClassVar[str] = "dev.zekt.run.blocked"

    completion: Completion
    reason: str
    detail: str
    catalog_version: int


class CompletionAccepted(Event, frozen=True, kw_only=True):
    """This attempt counts. Messages stored until `window_end` go out in place of the plain event."""

    TYPE: ClassVar[str] = "dev.zekt.run.completion-accepted"

    completion: Completion
    takes_messages: bool
    window_end: datetime
    catalog_version: int
    due_at: datetime | None = None


class CompletionPredated(Event, frozen=True, kw_only=True):
    """Another hook had told of this attempt earlier, by stored time, than the one heard of first: its time counts."""

    TYPE: ClassVar[str] = "dev.zekt.run.completion-predated"

    run_attempt: int
    received_at: datetime
    window_end: datetime
    due_at: datetime


class MessageRecorded(Event, frozen=True, kw_only=True):
    """The run sent this message; it waits for a completion to join."""

    TYPE: ClassVar[str] = "dev.zekt.run.message-recorded"

    message: Message
    due_at: datetime | None = None


class MessageBlocked(Event, frozen=True, kw_only=True):
    """The message is not delivered to anybody."""

    TYPE: ClassVar[str] = "dev.zekt.run.message-blocked"

    message_id: str
    run_attempt: int
    reason: str
    detail: str


class WindowClosed(Event, frozen=True, kw_only=True):
    """Every message stored within this attempt's window is known; `plain` tells whether none of them joined it."""

    TYPE: ClassVar[str] = "dev.zekt.run.window-closed"

    run_attempt: int
    through: datetime
    plain: bool


class RoutingStarted(Event, frozen=True, kw_only=True):
    """One item, the plain event or a message that joined the attempt, is routed by the catalog at this version."""

    TYPE: ClassVar[str] = "dev.zekt.run.routing-started"

    run_attempt: int
    message_id: str | None
    late: bool
    catalog_version: int


class RunRouted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """One page of decisions about one item, by subscription id; holds all that its deliveries need."""

    TYPE: ClassVar[str] = "dev.zekt.run.routed"

    repository_id: int
    repository: str
    owner_id: int
    owner: str
    run_id: int
    run_attempt: int
    message_id: str | None
    event_type: str
    workflow: str
    conclusion: str
    late: bool
    last_subscription_id: str
    routed: list[Target]
    refused: list[Refused]
    size_bytes: int = 0
    payload: InlineJson = None
    payload_ref: PayloadRef | None = None


class RoutingFinished(Event, frozen=True, kw_only=True):
    """Every subscription has been decided for this item."""

    TYPE: ClassVar[str] = "dev.zekt.run.routing-finished"

    run_attempt: int
    message_id: str | None
    routed: int
    refused: int


RUN_EVENTS = (
    RunBlocked,
    CompletionAccepted,
    CompletionPredated,
    MessageRecorded,
    MessageBlocked,
    WindowClosed,
    RoutingStarted,
    RunRouted,
    RoutingFinished,
)
RUN_SCHEMAS = Schemas(RUN_EVENTS)
