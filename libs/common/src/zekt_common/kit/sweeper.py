"""The sweeper: fires what is due. Timers are documents in the view `due`, so that none lives in a process alone."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec
import structlog

from zekt_common.clock import Clock, from_micros, to_micros, utc_now
from zekt_common.errors import DocumentConflict
from zekt_common.kit.supervision import DRAIN_S, describe, finish, growing_pause_s, supervise
from zekt_common.ports import Document, Leases, Put, Remove, Views

PARTITION = "due"
PAGE = 200
INTERVAL_S = 0.15
FIRST_AGAIN_S = 0.25
LONGEST_AGAIN_S = 1.0
LONGEST_PAUSE_S = 60.0
_MICROS_DIGITS = 16

Fire = Callable[[str], Awaitable[bool]]

log = structlog.get_logger()


def due(stream: str, at: datetime) -> Put:
    """Return the change that has `stream` fired at `at`."""
    return Put(partition=PARTITION, id=_id(stream, at), body=b"{}")


def undue(stream: str, at: datetime) -> Remove:
    """Return the change that takes back `due(stream, at)`."""
    return Remove(partition=PARTITION, id=_id(stream, at))


class Sweeper:
    """Calls `fire(stream)` for every stream whose due time is not after `now()`, never twice at once for one stream.

    The due document goes once `fire` has returned True; after False it is looked at again shortly. One that raises
    waits ever longer and holds nobody up. Run any number, one is at work.
    """

    def __init__(  # noqa: PLR0913 - the optional ones are tuning
        self,
        views: Views,
        leases: Leases,
        *,
        name: str,
        fire: Fire,
        now: Clock = utc_now,
        concurrency: int = 32,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._views, self._leases = views, leases
        self._name = name
        self._fire = fire
        self._now = now
        self._concurrency = concurrency
        self._interval_s = interval_s
        self._running: dict[str, asyncio.Task[None]] = {}
        self._again: dict[str, _Again] = {}
        self._nudged = asyncio.Event()
        self._draining = False
        self.fired = 0

    @property
    def in_flight(self) -> int:
        """How many streams are being fired."""
        return len(self._running)

    def nudge(self) -> None:
        """Look at once: `now()` has moved, or something has just become due."""
        self._nudged.set()

    async def run(self) -> None:
        """Fire until drained or cancelled; whatever fails is logged and tried again."""
        try:
            await supervise(f"sweeper/{self._name}", self._sweep_all)
        finally:
            await finish(list(self._running.values()), within_s=DRAIN_S if self._draining else 0)

    async def drain(self, *, within_s: float = DRAIN_S) -> None:
        """Fire nothing more, and let what is in flight finish within the bound."""
        self._draining = True
        self.nudge()
        await finish(list(self._running.values()), within_s=within_s)

    async def _sweep_all(self) -> None:
        async with self._leases.hold(f"sweeper/{self._name}"):
            while not self._draining:
                self._nudged.clear()
                began = time.monotonic()
                gap_s = await self._sweep()
                await asyncio.sleep(4 * (time.monotonic() - began))  # long scans leave most of the core to others
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(gap_s):
                        await self._nudged.wait()

    async def _sweep(self) -> float:
        """Start what is due, as far as there is room; return how long nothing else needs looking at, in seconds."""
        now, after, seen = self._now(), "", set[str]()
        while len(documents := await self._views.listing(PARTITION, after=after, limit=PAGE)):
            for document in documents:
                gap_s = (_time(document) - now).total_seconds()
                if gap_s > 0:
                    self._forget_all_but(seen)
                    return min(gap_s, self._interval_s)
                if not self._start(document):
                    return self._interval_s
                seen.add(document.id)
            after = documents[-1].id
        self._forget_all_but(seen)
        return self._interval_s

    def _start(self, document: Document) -> bool:
        """Start firing unless it is under way or has to wait; return False if there is no room."""
        stream = _stream(document)
        again = self._again.get(document.id)
        if stream in self._running or (again and again.at > time.monotonic()):
            return True
        if self._draining or len(self._running) >= self._concurrency:
            return False
        task = asyncio.create_task(self._fire_one(stream, document))
        self._running[stream] = task
        task.add_done_callback(lambda _: self._ended(stream))
        return True

    def _ended(self, stream: str) -> None:
        del self._running[stream]
        if len(self._running) == self._concurrency // 2:
            self.nudge()

    async def _fire_one(self, stream: str, document: Document) -> None:
        try:
            if await self._fire(stream):
                self.fired += 1
                await self._remove(document)
            else:
                self._put_off(document, longest_s=LONGEST_AGAIN_S)
        except Exception as error:  # noqa: BLE001 - one stream's error is not the others'
            pause_s = self._put_off(document, longest_s=LONGEST_PAUSE_S)
            log.error(  # noqa: TRY400 - a traceback may quote a payload
                "sweeper_fire_failed",
                sweeper=self._name,
                stream=stream,
                retry_in_s=round(pause_s, 3),
                **describe(error),
            )

    async def _remove(self, document: Document) -> None:
        self._again.pop(document.id, None)
        with contextlib.suppress(DocumentConflict):  # taken back, or set anew meanwhile: then it is due again
            removal = Remove(partition=PARTITION, id=document.id, if_match=document.etag)
            await self._views.write([removal], durable=False)

    def _put_off(self, document: Document, *, longest_s: float) -> float:
        times = self._again[document.id].times + 1 if document.id in self._again else 1
        pause_s = growing_pause_s(times, first_s=FIRST_AGAIN_S, longest_s=longest_s)
        self._again[document.id] = _Again(time.monotonic() + pause_s, times)
        return pause_s

    def _forget_all_but(self, seen: set[str]) -> None:
        self._again = {id_: again for id_, again in self._again.items() if id_ in seen}


class _Again(msgspec.Struct, frozen=True):
    """Not before `at`, in monotonic seconds, after `times` vain attempts."""

    at: float
    times: int


def _id(stream: str, at: datetime) -> str:
    return f"{to_micros(at):0{_MICROS_DIGITS}d}:{stream}"


def _time(document: Document) -> datetime:
    return from_micros(int(document.id[:_MICROS_DIGITS]))


def _stream(document: Document) -> str:
    return document.id[_MICROS_DIGITS + 1 :]
