"""What has been decided about one run and is to be appended, counted and logged."""

from datetime import datetime
from typing import Final

import structlog

from zekt_common.append_limits import weight
from zekt_common.envelope import Envelope, Event, NewEvent
from zekt_common.telemetry.metrics import CORRELATION_WAIT, ROUTING_DECISIONS
from zekt_router.policy import Blocked
from zekt_router.run import Command, decide
from zekt_router.run_events import MessageBlocked, RoutingFinished, RoutingStarted, RunBlocked, RunRouted
from zekt_router.run_memory import RunAt
from zekt_router.run_model import PAGE_SIZE
from zekt_router.run_state import Run, evolve
from zekt_router.translate import SOURCE

FULL_BYTES: Final = 400_000
"""Leaves room, in the 2 MB of an append, for the largest page of a hundred targets with aliases and a payload."""

log = structlog.get_logger()


class Batch:
    """Decisions about one run that have not been appended yet, and the run after them."""

    def __init__(self, stream: str, at: RunAt, cause: Envelope) -> None:
        self.stream = stream
        self.run = at.run
        self.version = at.version
        self.events: list[Event] = []
        self.content_refusals: dict[str, dict[str, Blocked | None]] = {}
        self._bytes = 0
        self._cause = cause

    @property
    def is_full(self) -> bool:
        """Return whether this is enough for one append, which still takes whatever one more decision may add."""
        targets = sum(len(event.routed) + len(event.refused) for event in self.events if isinstance(event, RunRouted))
        return targets >= PAGE_SIZE or len(self.events) >= PAGE_SIZE // 2 or self._bytes >= FULL_BYTES

    def decide(self, command: Command) -> bool:
        """Add what the command leads to, or the next of it; False if that is nothing."""
        decided = decide(self.run, command)
        for event in decided:
            self.events.append(event)
            self.run = evolve(self.run, event)
            self._bytes += weight(event)
        return bool(decided)

    def begin_anew(self, version: int) -> None:
        """Go on after what was appended, the run being at this version now."""
        self.version, self.events, self._bytes = version, [], 0

    def wrapped(self) -> list[NewEvent]:
        """Return the events with what tells them from others: the run, the cause and the trace."""
        subject = self.stream.partition("/")[2]
        return [
            NewEvent(
                body=event,
                source=SOURCE,
                subject=subject,
                correlationid=subject,
                causationid=self._cause.id,
                traceparent=self._cause.traceparent,
                accountid=self._cause.accountid,
            )
            for event in self.events
        ]


def tell(batch: Batch, stored_at: datetime) -> None:
    """Count and log the decisions that were appended at this time."""
    for event in batch.events:
        match event:
            case RunBlocked():
                ROUTING_DECISIONS.add(outcome=event.reason)
                attempt = event.completion.run_attempt
                log.info("run_blocked", stream=batch.stream, attempt=attempt, reason=event.reason)
            case MessageBlocked():
                ROUTING_DECISIONS.add(outcome=event.reason)
                log.info("message_blocked", stream=batch.stream, message_id=event.message_id, reason=event.reason)
            case RoutingStarted():
                _tell_wait(batch.run, event, stored_at)
            case RoutingFinished():
                _tell_routed(batch.stream, event)


def _tell_wait(run: Run, event: RoutingStarted, stored_at: datetime) -> None:
    """Measure how long the message, or the run that sent none, has waited for what it might be joined with."""
    if event.message_id is None:
        kind, since = "event", run.attempts[event.run_attempt].completion.received_at
    else:
        kind, since = "message", run.messages[event.message_id].message.received_at
    CORRELATION_WAIT.record(max((stored_at - since).total_seconds(), 0.0), kind=kind)


def _tell_routed(stream: str, event: RoutingFinished) -> None:
    ROUTING_DECISIONS.add(outcome="routed")
    log.info(
        "run_routed",
        stream=stream,
        attempt=event.run_attempt,
        message_id=event.message_id,
        routed=event.routed,
        refused=event.refused,
    )
