"""The consumer loop: receives, decodes, runs handlers with bounded concurrency, and alone settles.

Handlers answer `Complete`, `Retry` or `DeadLetter`; whatever they raise is retried with growing pauses. `attempt`,
which travels in the message, decides when it is given up, so that poison blocks nobody.
"""

import asyncio
import contextlib
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog
from opentelemetry.trace import SpanKind

from zekt_common.clock import Clock, utc_now
from zekt_common.contracts import topology
from zekt_common.envelope import Envelope, Event, decode
from zekt_common.errors import EventTampered, LockLost, StorageUnusable, UnknownSubscription
from zekt_common.kit.lock_keeper import LockKeeper
from zekt_common.kit.settlement import Complete, DeadLetter, Handler, Release, Retry, Settlement
from zekt_common.kit.supervision import DRAIN_S, describe, finish, growing_pause_s, supervise
from zekt_common.ports import Bus, ReceivedMessage
from zekt_common.schemas import Schemas, Upcast
from zekt_common.telemetry.tracing import span

RECEIVE_S = 0.5
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 60.0
STORAGE_PAUSE_S = 1.0
REMEMBERED_IDS = 20_000

__all__ = ["Complete", "Consumer", "DeadLetter", "Handler", "Retry", "Settlement"]

log = structlog.get_logger()


class Consumer:
    """One subscription's loop. Handlers must recognise repeats themselves, by the envelope's id.

    Each runs in a span, whose context is the `traceparent` of the envelope it gets: what it stores is traced below it.
    `outcomes` counts settlements by kind; `age_s` is how old the event in the newest taken-up message was.
    """

    def __init__(  # noqa: PLR0913 - the optional ones are tuning
        self,
        bus: Bus,
        topic: str,
        subscription: str,
        handlers: Mapping[type[Event], Handler],
        *,
        concurrency: int = 32,
        clock: Clock = utc_now,
        upcasts: Mapping[tuple[str, int], Upcast] | None = None,
        terms: topology.Subscription | None = None,
    ) -> None:
        self._terms = terms or _terms(topic, subscription)
        self._receiver = bus.subscribe(topic, subscription)
        self._handlers = {event.TYPE: handler for event, handler in handlers.items()}
        self._schemas = Schemas(handlers, upcasts)
        self._concurrency = concurrency
        self._clock = clock
        self._history = _History(REMEMBERED_IDS)
        self._running: dict[asyncio.Task[None], ReceivedMessage] = {}
        self._room = asyncio.Event()
        self._draining = asyncio.Event()
        self._stopped = asyncio.Event()
        self._stopped.set()
        self._before_caught_up: set[asyncio.Task[None]] | None = None
        self._unknown_types: set[str] = set()
        self.caught_up = asyncio.Event()
        self.outcomes: Counter[str] = Counter()
        self.age_s = 0.0

    @property
    def in_flight(self) -> int:
        """How many messages are being handled or settled."""
        return len(self._running)

    async def backlog(self) -> int:
        """Return how many messages are waiting, locked or scheduled."""
        return await self._receiver.backlog()

    async def run(self) -> None:
        """Handle messages until drained or cancelled; whatever fails is logged and tried again."""
        self._stopped.clear()
        try:
            await supervise(f"consumer/{self._terms.topic}/{self._terms.name}", self._receive_all)
        except asyncio.CancelledError:
            await finish(list(self._running), within_s=0)  # each gives its message back
            raise
        finally:
            self._stopped.set()

    async def drain(self, *, within_s: float = DRAIN_S) -> None:
        """Stop receiving, let handlers in flight finish within the bound, and give back what is left."""
        self._draining.set()
        self._room.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._stopped.wait()
        await finish(list(self._running), within_s=within_s)

    async def _receive_all(self) -> None:
        while (room := await self._wait_for_room()) > 0:
            timeout_s = RECEIVE_S if self.caught_up.is_set() or self._before_caught_up else 0.0
            messages = await self._receiver.receive(room, timeout_s=timeout_s)
            if self._draining.is_set():
                await self._give_back(messages)
            elif messages:
                self._start(messages)
            else:
                self._note_empty()

    async def _wait_for_room(self) -> int:
        """Return how many more messages may be taken up; none while draining."""
        while len(self._running) >= self._concurrency and not self._draining.is_set():
            self._room.clear()
            await self._room.wait()
        return 0 if self._draining.is_set() else self._concurrency - len(self._running)

    def _start(self, messages: Sequence[ReceivedMessage]) -> None:
        for message in messages:
            task = asyncio.create_task(self._process(message))
            self._running[task] = message
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._room.set()
        if self._before_caught_up is not None:
            self._before_caught_up.discard(task)
            self._note_caught_up()

    def _note_empty(self) -> None:
        """Nothing waits any more: we have caught up once what was received before has been handled."""
        if self._before_caught_up is None:
            self._before_caught_up = set(self._running)
        self._note_caught_up()

    def _note_caught_up(self) -> None:
        if not self._before_caught_up:
            self.caught_up.set()

    async def _process(self, message: ReceivedMessage) -> None:
        """Handle and settle one message; never raises, except when cancelled, and then gives the message back."""
        lock = LockKeeper(self._receiver.renew, message, self._terms.lock_s / 2)
        try:
            outcome = await self._outcome(message)
            await self._settle(message, outcome)
            self.outcomes[type(outcome).__name__.lower()] += 1
        except LockLost:
            self.outcomes["locklost"] += 1
            log.warning("message_lock_lost", **self._ids(message))
        except asyncio.CancelledError:
            await self._give_back([message])
            raise
        except Exception as error:  # noqa: BLE001 - the lock expires and the message comes again
            self.outcomes["unsettled"] += 1
            log.error("message_settlement_failed", **self._ids(message), **describe(error))  # noqa: TRY400 - as below
        finally:
            lock.stop()

    async def _outcome(self, message: ReceivedMessage) -> Settlement | Release:
        try:
            envelope = decode(message.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return DeadLetter("not an envelope")
        self.age_s = max((self._clock() - envelope.time).total_seconds(), 0.0)
        if not self._history.admits(envelope):
            log.error("event_tampered", envelope_id=envelope.id, commitid=envelope.commitid, **self._ids(message))
            self.outcomes["tampered"] += 1
            return DeadLetter(f"{EventTampered.__name__}: {envelope.id} is known under another commit id")
        if envelope.type not in self._schemas:
            return self._ignore(envelope)
        return await self._handle(message, envelope)

    async def _handle(self, message: ReceivedMessage, envelope: Envelope) -> Settlement | Release:
        try:
            with span(f"handle {envelope.type}", envelope.traceparent, kind=SpanKind.CONSUMER) as handling:
                event = self._schemas.decode(envelope)
                cause = msgspec.structs.replace(envelope, traceparent=handling.traceparent)
                settlement = await self._handlers[envelope.type](event, cause)
        except msgspec.ValidationError:
            return DeadLetter(f"data is no {envelope.type} of schema version {envelope.schemaversion}")
        except StorageUnusable as error:
            return await self._wait_for_storage(message, error)
        except Exception as error:  # noqa: BLE001 - a handler's error is this message's, not the loop's
            return self._after_error(message, envelope, error)
        if isinstance(settlement, Retry) and message.attempt >= self._terms.max_attempts:
            return DeadLetter(f"asked for a retry {message.attempt} times")
        return settlement

    def _after_error(self, message: ReceivedMessage, envelope: Envelope, error: Exception) -> Settlement:
        log.error(
            "handler_failed", envelope_id=envelope.id, subject=envelope.subject, **self._ids(message), **describe(error)
        )
        if message.attempt >= self._terms.max_attempts:
            return DeadLetter(f"handler failed {message.attempt} times: {type(error).__name__}")
        return Retry(growing_pause_s(message.attempt, first_s=FIRST_RETRY_S, longest_s=LONGEST_RETRY_S))

    async def _wait_for_storage(self, message: ReceivedMessage, error: StorageUnusable) -> Release:
        """Pause and give the message back unburnt: a full disk is no message's fault."""
        log.error("handler_storage_unusable", **self._ids(message), **describe(error))
        await asyncio.sleep(STORAGE_PAUSE_S)
        return Release()

    def _ignore(self, envelope: Envelope) -> Complete:
        self.outcomes["unknown"] += 1
        if envelope.type not in self._unknown_types:
            self._unknown_types.add(envelope.type)
            log.info("unknown_message_type_ignored", type=envelope.type, subscription=self._terms.name)
        return Complete()

    async def _settle(self, message: ReceivedMessage, settlement: Settlement | Release) -> None:
        match settlement:
            case Complete():
                await self._receiver.complete(message)
            case Retry(after_s):
                await self._receiver.retry(message, after_s=after_s)
            case DeadLetter(reason):
                log.warning("message_dead_lettered", reason=reason, **self._ids(message))
                await self._receiver.dead_letter(message, reason)
            case Release():
                await self._receiver.release([message])

    async def _give_back(self, messages: Sequence[ReceivedMessage]) -> None:
        """Release on the way out; failing only means that the locks must expire first."""
        try:
            await self._receiver.release(messages)
        except Exception as error:  # noqa: BLE001 - must not replace the cancellation in flight
            log.warning("messages_not_released", messages=len(messages), **describe(error))

    def _ids(self, message: ReceivedMessage) -> dict[str, Any]:
        return {
            "topic": self._terms.topic,
            "subscription": self._terms.name,
            "message_id": message.message_id,
            "attempt": message.attempt,
        }


class _History:
    """The commit ids of the envelopes seen last, by which a forged repeat shows."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._commits: OrderedDict[str, str] = OrderedDict()

    def admits(self, envelope: Envelope) -> bool:
        """Remember the envelope; False if its id is known with another commit id."""
        known = self._commits.setdefault(envelope.id, envelope.commitid)
        self._commits.move_to_end(envelope.id)
        if len(self._commits) > self._limit:
            self._commits.popitem(last=False)
        return known == envelope.commitid


def _terms(topic: str, subscription: str) -> topology.Subscription:
    for terms in topology.subscriptions_of(topic):
        if terms.name == subscription:
            return terms
    raise UnknownSubscription(f"{topic} has no subscription {subscription!r}")
