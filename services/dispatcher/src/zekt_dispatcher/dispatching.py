"""The way of a delivery: prepare, store the attempt, post it, store what became of it."""

import asyncio
import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, assert_never

import msgspec
import structlog
from opentelemetry.trace import SpanKind

from zekt_common.clock import Clock, utc_now
from zekt_common.errors import StorageUnusable
from zekt_common.telemetry.metrics import DISPATCH_DURATION, DISPATCHES
from zekt_common.telemetry.tracing import span
from zekt_dispatcher.allowances import Allowances
from zekt_dispatcher.budgets import Budgets
from zekt_dispatcher.delivery_commands import (
    BeginAttempt,
    Command,
    Opening,
    RecordAmbiguous,
    RecordDispatched,
    RecordFailure,
)
from zekt_dispatcher.delivery_events import DeliveryAttempted, DeliveryDeadLettered, Order
from zekt_dispatcher.github import GitHub
from zekt_dispatcher.ledger import Entry, Ledger
from zekt_dispatcher.outcomes import InDoubt, NotTaken, Outcome, Taken
from zekt_dispatcher.preparing import Preparation, Ready
from zekt_dispatcher.tokens import DispatchTokens

DEADLINE_MARGIN_S: Final = 5.0
_STORE_AGAIN_S: Final = (0.2, 1.0)
_LEAST_POST_S: Final = 0.2

log = structlog.get_logger()

CommandOf = Callable[[Opening], Command]


class Dispatching:
    """Takes deliveries one attempt further. An attempt's POST is over before its deadline, whatever happens."""

    def __init__(  # noqa: PLR0913 - what an attempt needs
        self,
        ledger: Ledger,
        preparation: Preparation,
        github: GitHub,
        tokens: DispatchTokens,
        budgets: Budgets,
        *,
        allowances: Allowances,
        post_timeout_s: float,
        clock: Clock = utc_now,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._ledger, self._preparation, self._github = ledger, preparation, github
        self._tokens, self._budgets, self._allowances = tokens, budgets, allowances
        self._post_timeout_s = post_timeout_s
        self._deadline = timedelta(seconds=post_timeout_s + DEADLINE_MARGIN_S)
        self._clock = clock
        self._jitter = jitter

    async def advance(self, entry: Entry, order: Order, command_of: CommandOf, *, cause: str | None = None) -> Entry:
        """Attempt the delivery if it may be attempted now; `command_of` makes the command that a first step belongs to.

        Raises:
            StorageUnusable: the store does not take what has to be stored.
        """
        prepared = await self._preparation.prepare(order)
        if not isinstance(prepared, Ready):
            entry = await self._ledger.execute(entry, command_of(prepared), cause=cause)
            _log_given_up(entry)
            return entry
        try:
            return await self._begin(entry, prepared, command_of, cause)
        finally:
            prepared.permit.release()

    async def _begin(self, entry: Entry, ready: Ready, command_of: CommandOf, cause: str | None) -> Entry:
        ends_at = time.monotonic() + self._deadline.total_seconds()
        at = self._clock()
        begin = BeginAttempt(at=at, deadline=at + self._deadline)
        entry = await self._ledger.execute(entry, command_of(begin), cause=cause)
        opened = [event.attempt for event in entry.appended if isinstance(event, DeliveryAttempted)]
        if not opened:
            return entry
        return await self._attempt(entry, ready, opened[-1], ends_at)

    async def _attempt(self, entry: Entry, ready: Ready, attempt: int, ends_at: float) -> Entry:
        began = time.monotonic()
        with span("dispatch", kind=SpanKind.CLIENT, **{"zekt.delivery_id": ready.order.delivery_id}) as posting:
            outcome = await self._post(ready, ends_at)
            if not isinstance(outcome, Taken):
                posting.failed(outcome.reason)
            self._learn(ready, outcome)
            entry = await self._record(entry, attempt, outcome)
        _report(entry, attempt, outcome, time.monotonic() - began)
        return entry

    async def _post(self, ready: Ready, ends_at: float) -> Outcome:
        left_s = ends_at - DEADLINE_MARGIN_S / 2 - time.monotonic()
        if left_s < _LEAST_POST_S:
            return NotTaken(category="unavailable", reason="storing the attempt took too long: nothing was sent")
        timeout_s = min(self._post_timeout_s, left_s)
        return await self._github.dispatch(ready.target, ready.body, ready.token, timeout_s=timeout_s)

    def _learn(self, ready: Ready, outcome: Outcome) -> None:
        installation_id = ready.order.installation_id
        if isinstance(outcome, Taken):
            self._budgets.succeeded(installation_id)
            self._allowances.note(installation_id, outcome.remaining)
        elif isinstance(outcome, NotTaken) and outcome.limited:
            self._budgets.pause(installation_id, outcome.not_before_s)
            self._allowances.note(installation_id, 0)
        elif isinstance(outcome, NotTaken) and outcome.token_rejected:
            self._tokens.reject(installation_id, ready.order.target_repository_id, ready.token)

    async def _record(self, entry: Entry, attempt: int, outcome: Outcome) -> Entry:
        """Store the outcome, trying again for a moment: lost, it would be an ambiguous attempt."""
        command = self._outcome_command(attempt, outcome)
        for pause_s in _STORE_AGAIN_S:
            try:
                return await self._ledger.execute(entry, command)
            except StorageUnusable:
                await asyncio.sleep(pause_s)
        return await self._ledger.execute(entry, command)

    def _outcome_command(self, attempt: int, outcome: Outcome) -> Command:
        at = self._clock()
        match outcome:
            case Taken():
                return RecordDispatched(at=at, attempt=attempt)
            case InDoubt():
                fields = msgspec.structs.asdict(outcome)
                return RecordAmbiguous(at=at, attempt=attempt, jitter=self._jitter(), **fields)
            case NotTaken():
                return RecordFailure(
                    at=at,
                    attempt=attempt,
                    category=outcome.category,
                    reason=outcome.reason,
                    jitter=self._jitter(),
                    status=outcome.status,
                    not_before_s=outcome.not_before_s,
                    final=outcome.final,
                )
            case _:
                assert_never(outcome)


def _report(entry: Entry, attempt: int, outcome: Outcome, seconds: float) -> None:
    name = _outcome_name(outcome)
    DISPATCHES.add(outcome=name)
    DISPATCH_DURATION.record(seconds, outcome=name)
    if isinstance(outcome, Taken):
        log.debug("delivery_dispatched", stream=entry.stream, attempt=attempt)  # hundreds a second, each an event too
    else:
        category = outcome.category
        log.info("delivery_attempt_failed", stream=entry.stream, attempt=attempt, outcome=name, category=category)
    _log_given_up(entry)


def _outcome_name(outcome: Outcome) -> str:
    match outcome:
        case Taken():
            return "dispatched"
        case InDoubt():
            return "ambiguous"
        case NotTaken(final=final):
            return "refused" if final else "retried"
        case _:
            assert_never(outcome)


def _log_given_up(entry: Entry) -> None:
    for event in entry.appended:
        if isinstance(event, DeliveryDeadLettered):
            log.warning("delivery_dead_lettered", stream=entry.stream, category=event.category)
