"""What has been decided about one run and is to be appended, counted and logged."""

from collections.abc import Sequence

import structlog

from zekt_common.envelope import Envelope, Event, NewEvent
from zekt_common.telemetry.metrics import EVENTS_APPENDED, ROUTING_DECISIONS
from zekt_router.policy import Blocked
from zekt_router.run import Command, decide
from zekt_router.run_events import MessageBlocked, RoutingFinished, RunBlocked, RunRouted
from zekt_router.run_memory import RunAt
from zekt_router.run_model import PAGE_SIZE
from zekt_router.run_state import evolve
from zekt_router.translate import SOURCE

log = structlog.get_logger()


class Batch:
    """Decisions about one run that have not been appended yet, and the run after them."""

    def __init__(self, stream: str, at: RunAt, cause: Envelope) -> None:
        self.stream = stream
        self.run = at.run
        self.version = at.version
        self.events: list[Event] = []
        self.content_refusals: dict[str, dict[str, Blocked | None]] = {}
        self._cause = cause

    @property
    def is_full(self) -> bool:
        """Return whether this is enough for one append."""
        targets = sum(len(event.routed) + len(event.refused) for event in self.events if isinstance(event, RunRouted))
        return targets >= PAGE_SIZE or len(self.events) >= PAGE_SIZE // 2

    def decide(self, command: Command) -> None:
        """Add what the command leads to."""
        for event in decide(self.run, command):
            self.events.append(event)
            self.run = evolve(self.run, event)

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


def tell(stream: str, events: Sequence[Event]) -> None:
    """Count what was appended, and log the decisions in it."""
    for event in events:
        EVENTS_APPENDED.add(service="router", type=event.TYPE)
        if isinstance(event, RunBlocked):
            ROUTING_DECISIONS.add(outcome=event.reason)
            log.info("run_blocked", stream=stream, attempt=event.completion.run_attempt, reason=event.reason)
        elif isinstance(event, MessageBlocked):
            ROUTING_DECISIONS.add(outcome=event.reason)
            log.info("message_blocked", stream=stream, message_id=event.message_id, reason=event.reason)
        elif isinstance(event, RoutingFinished):
            ROUTING_DECISIONS.add(outcome="routed")
            log.info(
                "run_routed",
                stream=stream,
                attempt=event.run_attempt,
                message_id=event.message_id,
                routed=event.routed,
                refused=event.refused,
            )
