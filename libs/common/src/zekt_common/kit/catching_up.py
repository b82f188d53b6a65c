"""When a consumer has handled all that was there before it: until then, what it knows may be missing something."""

import asyncio
import time

import structlog

from zekt_common.clock import Clock
from zekt_common.contracts.topology import Subscription
from zekt_common.envelope import decode
from zekt_common.kit.supervision import describe
from zekt_common.ports import ReceivedMessage, Receiver

LOOKS_AGAIN_S = 0.1

log = structlog.get_logger()


class CatchingUp:
    """Sets `done` once the subscription was seen empty, with nothing scheduled for it.

    Others may hold messages, and some may always be waiting. So at the latest it is done when what was taken up by
    then has been settled: `then` is when the locks of a process that died have expired and those messages have come
    again, and so have older ones that were to be retried before long. What is put off for longer has failed for so long
    that nobody is to wait for it.
    """

    def __init__(self, receiver: Receiver, terms: Subscription, clock: Clock) -> None:
        self._receiver = receiver
        self._clock = clock
        self._lock_s = terms.lock_s
        self._measured = {"topic": terms.topic, "subscription": terms.name}
        self._began = clock()
        self._then = time.monotonic() + terms.lock_s
        self._emptied = asyncio.Event()
        self._last_awaited: set[asyncio.Task[None]] | None = None
        self.done = asyncio.Event()

    async def run(self) -> None:
        """Look whether the subscription is empty whenever it seems to be, beside the receive loop, until it is done."""
        self._began, self._then = self._clock(), time.monotonic() + self._lock_s
        while not self.done.is_set():
            await self._emptied.wait()
            self._emptied.clear()
            if await self._is_empty():
                self.done.set()
            else:
                await asyncio.sleep(LOOKS_AGAIN_S)

    def note_nothing_came(self, running: set[asyncio.Task[None]], asked_at: float) -> None:
        """Nothing came to who asked at this monotonic time, and these messages are being handled."""
        self._emptied.set()
        if self._last_awaited is None and asked_at > self._then:
            self._last_awaited = set(running)
            self._note_settled()

    def note_ended(self, task: asyncio.Task[None]) -> None:
        """This message has been handled and settled."""
        if self._last_awaited is not None:
            self._last_awaited.discard(task)
            self._note_settled()

    def note_retry(self, message: ReceivedMessage, after_s: float) -> None:
        """This message is to come again so much later; what was stored since we began is not waited for."""
        if not self.done.is_set() and after_s <= self._lock_s and decode(message.body).time <= self._began:
            self._then = max(self._then, time.monotonic() + after_s + self._lock_s)
            self._last_awaited = None

    def _note_settled(self) -> None:
        if not self._last_awaited:
            self.done.set()

    async def _is_empty(self) -> bool:
        try:
            return await self._receiver.is_empty()
        except Exception as error:  # noqa: BLE001 - the next look may succeed
            log.warning("subscription_not_looked_through", **self._measured, **describe(error))
            return False
