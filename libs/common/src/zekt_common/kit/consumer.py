"""The consumer loop: receives, runs handlers with bounded concurrency under a kept lock, and alone settles.

Handlers answer `Complete`, `Retry` or `DeadLetter`; whatever they raise is retried with growing pauses. `attempt`,
which travels in the message, decides when it is given up, so that poison blocks nobody.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import assert_never

import structlog

from zekt_common.clock import Clock, utc_now
from zekt_common.contracts import topology
from zekt_common.envelope import Event
from zekt_common.errors import LockLost, UnknownSubscription
from zekt_common.kit.backlog_count import BacklogCount
from zekt_common.kit.catching_up import CatchingUp
from zekt_common.kit.handling import Handling
from zekt_common.kit.lock_keeper import LockKeeper
from zekt_common.kit.settlement import Complete, DeadLetter, Handler, Release, Retry, Settlement
from zekt_common.kit.supervision import DRAIN_S, describe, finish, supervise
from zekt_common.ports import Bus, ReceivedMessage
from zekt_common.schemas import Upcast
from zekt_common.telemetry.metrics import CONSUMER_MESSAGES, DEAD_LETTERS

__all__ = ["Complete", "Consumer", "DeadLetter", "Handler", "Retry", "Settlement"]

RECEIVE_S = 0.5
CATCHING_UP_S = 0.02

log = structlog.get_logger()


class Consumer:
    """One subscription's loop. Handlers must recognise repeats themselves, by the envelope's id.

    Each runs in a span, whose context is the `traceparent` of the envelope it gets: what it stores is traced below it.
    `caught_up` is set once everything that was in the subscription before, or scheduled for it, has been handled, at
    the latest when the locks of a process that died have expired and those messages have come again.
    `outcomes` counts messages: completed, retried, dead_lettered, released, lost (the lock), unsettled (an error).
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
        self._measured = {"topic": self._terms.topic, "subscription": self._terms.name}
        self._receiver = bus.subscribe(topic, subscription)
        self._handling = Handling(self._terms, handlers, upcasts)
        self._concurrency = concurrency
        self._clock = clock
        self._running: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._draining = asyncio.Event()
        self._stopped = asyncio.Event()
        self._stopped.set()
        self._backlog = BacklogCount(self._receiver, self._terms)
        self._catching_up = CatchingUp(self._receiver, self._terms, clock)
        self.caught_up = self._catching_up.done
        self.outcomes: Counter[str] = Counter()

    @property
    def in_flight(self) -> int:
        """How many messages are being handled or settled."""
        return len(self._running)

    @property
    def age_s(self) -> float:
        """How old the event in the message taken up last is, in seconds; 0 before the first."""
        newest = self._handling.newest
        return max((self._clock() - newest).total_seconds(), 0.0) if newest else 0.0

    async def backlog(self) -> int:
        """Return how many messages are waiting, locked or scheduled."""
        return await self._receiver.backlog()

    async def run(self) -> None:
        """Handle messages until drained or cancelled; whatever fails is logged and tried again."""
        self._stopped.clear()
        DEAD_LETTERS.add(0, **self._measured)  # so that the first one is an increase, which alerts are about
        beside = [asyncio.create_task(each.run()) for each in (self._backlog, self._catching_up)]
        try:
            await supervise(f"consumer/{self._terms.topic}/{self._terms.name}", self._receive_all)
        except asyncio.CancelledError:
            await finish(list(self._running), within_s=0)  # each gives its message back
            raise
        finally:
            for each in beside:
                each.cancel()
            self._stopped.set()

    async def drain(self, *, within_s: float = DRAIN_S) -> None:
        """Stop receiving, let handlers in flight finish within the bound, and give back what is left."""
        deadline = time.monotonic() + within_s
        self._draining.set()
        self._room.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(within_s, 2 * RECEIVE_S)):  # else it would take up what we give back
                await self._stopped.wait()
        await finish(list(self._running), within_s=max(deadline - time.monotonic(), 0.0))

    async def _receive_all(self) -> None:
        while (room := await self._wait_for_room()) > 0:
            timeout_s = RECEIVE_S if self.caught_up.is_set() else CATCHING_UP_S
            asked_at = time.monotonic()
            messages = await self._receiver.receive(room, timeout_s=timeout_s)
            if self._draining.is_set():
                await self._give_back(messages)
            elif messages:
                self._start(messages)
            else:
                self._catching_up.note_nothing_came(self._running, asked_at)

    async def _wait_for_room(self) -> int:
        """Return how many more messages may be taken up; none while draining."""
        while len(self._running) >= self._concurrency and not self._draining.is_set():
            self._room.clear()
            await self._room.wait()
        return 0 if self._draining.is_set() else self._concurrency - len(self._running)

    def _start(self, messages: Sequence[ReceivedMessage]) -> None:
        for message in messages:
            task = asyncio.create_task(self._process(message))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._room.set()
        self._catching_up.note_ended(task)

    async def _process(self, message: ReceivedMessage) -> None:
        """Handle and settle one message; never raises, except when cancelled, and then gives the message back."""
        lock = LockKeeper(self._receiver.renew, message, self._terms.lock_s / 2)
        try:
            outcome = await self._settle(message, await self._handling.settlement(message))
        except LockLost:
            outcome = "lost"
            log.warning("message_lock_lost", **self._handling.ids(message))
        except asyncio.CancelledError:
            await self._give_back([message])
            raise
        except Exception as error:  # noqa: BLE001 - the lock expires and the message comes again
            outcome = "unsettled"
            log.error(  # noqa: TRY400 - a traceback may quote a payload
                "message_settlement_failed", **self._handling.ids(message), **describe(error)
            )
        finally:
            lock.stop()
        self.outcomes[outcome] += 1
        CONSUMER_MESSAGES.add(**self._measured, outcome=outcome)

    async def _settle(self, message: ReceivedMessage, settlement: Settlement | Release) -> str:
        match settlement:
            case Complete():
                await self._receiver.complete(message)
                return "completed"
            case Retry(after_s):
                await self._receiver.retry(message, after_s=after_s)
                self._catching_up.note_retry(message, after_s)
                return "retried"
            case DeadLetter(reason):
                await self._dead_letter(message, reason)
                return "dead_lettered"
            case Release():
                await self._receiver.release([message])
                return "released"
            case _:
                assert_never(settlement)

    async def _dead_letter(self, message: ReceivedMessage, reason: str) -> None:
        await self._receiver.dead_letter(message, reason)
        DEAD_LETTERS.add(**self._measured)
        log.warning("message_dead_lettered", reason=reason, **self._handling.ids(message))

    async def _give_back(self, messages: Sequence[ReceivedMessage]) -> None:
        """Release on the way out; failing only means that the locks must expire first."""
        try:
            await self._receiver.release(messages)
        except Exception as error:  # noqa: BLE001 - must not replace the cancellation in flight
            log.warning("messages_not_released", messages=len(messages), **describe(error))


def _terms(topic: str, subscription: str) -> topology.Subscription:
    for terms in topology.subscriptions_of(topic):
        if terms.name == subscription:
            return terms
    raise UnknownSubscription(f"{topic} has no subscription {subscription!r}")
