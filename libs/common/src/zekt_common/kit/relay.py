"""The relay: tails its service's own store and publishes to its service's own topic.

The bus is only how others hear of stored events: what is on it can be published again from the store at any time.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec
import structlog

from zekt_common.clock import Clock, from_micros, utc_now
from zekt_common.contracts.topology import subscriptions_of
from zekt_common.envelope import Envelope
from zekt_common.errors import DocumentConflict, MessageTooLarge, UnknownSubscription
from zekt_common.kit.checkpoints import Checkpoint, CheckpointDocument, Rewind
from zekt_common.kit.supervision import describe, supervise
from zekt_common.kit.watermarks import Watermarks
from zekt_common.ports import Bus, EventStore, FeedPage, Leases, OutgoingMessage, Put, Views
from zekt_common.ports.bus import EVERYONE
from zekt_common.telemetry.metrics import RELAY_LAG, RELAY_PUBLISHED, RELAY_REFUSED

Translate = Callable[[Envelope], Sequence[OutgoingMessage]]
WatermarkMessage = Callable[[datetime], OutgoingMessage]

PAGE = 1000
BUSY_PAGE = 16
GATHER_S = 0.02
REFUSED = "refused-messages"
COUNTED = 1000
SAVE_EVERY_S = 0.25
LOOK_EVERY_S = 0.5
_TICK = timedelta(microseconds=1)

log = structlog.get_logger()


class Relay:
    """Publishes what `translate` makes of each stored event, in feed order; run any number, one is at work.

    A message that the bus refuses as too large is noted in the view `refused-messages` and passed over.

    `watermark` makes the message saying that everything stored up to a time has been published. After a rewind
    watermarks start again from there: the newest one holds, even when it says less than one before.
    """

    def __init__(  # noqa: PLR0913 - four ports and a name are what a relay joins
        self,
        store: EventStore,
        bus: Bus,
        views: Views,
        leases: Leases,
        *,
        topic: str,
        translate: Translate,
        watermark: WatermarkMessage | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._store, self._bus, self._views, self._leases = store, bus, views, leases
        self._topic = topic
        self._translate = translate
        self._watermark = watermark
        self._clock = clock
        self._tails: dict[str, _Tail] = {}
        self._watermarks = Watermarks((), now=time.monotonic())
        self.published = self._synced = 0

    async def run(self) -> None:
        """Publish until cancelled; whatever fails is logged and tried again."""
        unwatch = RELAY_LAG.watch(self._seen_lag, topic=self._topic)
        try:
            await supervise(f"relay/{self._topic}", self._lead)
        finally:
            unwatch()

    async def rewind(self, moment: datetime, *, to: str = EVERYONE) -> None:
        """Have everything stamped at `moment` or later published again, past duplicate detection, by whoever runs.

        With `to`, what was published before goes to that subscription alone.

        Raises:
            UnknownSubscription: the topic has no such subscription.
        """
        if to not in (EVERYONE, *(each.name for each in subscriptions_of(self._topic))):
            raise UnknownSubscription(f"{self._topic} has no subscription {to!r}")
        rewind = Rewind(secrets.token_hex(4), max(await self._store.horizon(), self._clock()), to)
        for feed in await self._store.feeds():
            while not await self._set_back(feed, moment, rewind):
                log.info("relay_rewind_contended", topic=self._topic, feed=feed)

    async def lag(self) -> float:
        """Return for how many seconds the oldest unpublished event has been waiting; 0 when all are published."""
        waiting = [await self._waiting_s(feed) for feed in await self._store.feeds()]
        return max(waiting, default=0.0)

    async def refused(self) -> int:
        """Return how many messages were noted as refused by the bus, up to `COUNTED`."""
        return len(await self._views.listing(REFUSED, limit=COUNTED))

    async def _lead(self) -> None:
        async with self._leases.hold(f"relay/{self._topic}"):
            feeds = await self._store.feeds()
            self._watermarks = Watermarks(feeds, now=time.monotonic())
            self._tails = {feed: _Tail(feed, self._document(feed)) for feed in feeds}
            try:
                async with asyncio.TaskGroup() as group:
                    for tail in self._tails.values():
                        group.create_task(self._follow(tail))
            finally:
                self._tails = {}

    async def _follow(self, tail: "_Tail") -> None:
        await self._load(tail)
        try:
            while True:
                published = await self._publish_page(tail)
                if not published:
                    await self._rest(tail)
                elif BUSY_PAGE <= published < PAGE:
                    await asyncio.sleep(GATHER_S)  # many are coming: a larger page costs less for each
                await self._keep(tail)
        finally:
            await self._save_at_last(tail)

    async def _publish_page(self, tail: "_Tail") -> int:
        """Publish the next page of the feed and return how many events were on it."""
        page = await self._store.read_feed(tail.feed, tail.at.cursor, PAGE)
        if not page.events:
            tail.reach_end(page.cursor)
            return 0
        tail.waiting_since = page.events[0].time
        told = [(message, event.time) for event in page.events for message in self._translate(event)]
        messages = [each for message, time in told for each in tail.messages(message, time)]
        if messages:
            await self._publish(messages)
        tail.advance(page)
        self._watermarks.keep_active(time.monotonic())
        await self._announce(tail, tail.through - _TICK)  # events of that very time may follow
        return len(page.events)

    async def _publish(self, messages: Sequence[OutgoingMessage]) -> None:
        try:
            await self._bus.publish(self._topic, messages)
        except MessageTooLarge as error:
            if len(messages) == 1:
                await self._put_aside(messages[0], error)
                return
            middle = len(messages) // 2
            await self._publish(messages[:middle])
            await self._publish(messages[middle:])
        else:
            self.published += len(messages)
            RELAY_PUBLISHED.add(len(messages), topic=self._topic)

    async def _sync(self) -> None:
        """Make sure of what was published, before anybody is told that it was, ourselves included."""
        if self._synced < (published := self.published):
            await self._bus.sync()
            self._synced = max(self._synced, published)

    async def _save(self, tail: "_Tail") -> None:
        await self._sync()
        await tail.save()

    async def _put_aside(self, message: OutgoingMessage, error: MessageTooLarge) -> None:
        """Keep a note of what the bus will never take, rather than hold up all that comes after it."""
        log.error("relay_message_refused", topic=self._topic, envelope_id=message.envelope.id, **describe(error))
        note = msgspec.json.encode({"envelope_id": message.envelope.id, "reason": str(error)})
        id_ = f"{self._topic}/{message.message_id or message.envelope.id}"
        await self._views.write([Put(partition=REFUSED, id=id_, body=note)])
        RELAY_REFUSED.add(topic=self._topic)

    async def _rest(self, tail: "_Tail") -> None:
        """Wait for the feed to grow, and say that it has been published to its end as often as that is due."""
        if self._announcement_due_in_s(tail) <= 0:
            horizon = await self._store.horizon()
            if await self._publish_page(tail):
                return
            await self._announce(tail, horizon)
        timeout_s = min(self._announcement_due_in_s(tail), tail.upkeep_due_in_s(time.monotonic()))
        await self._store.wait(tail.feed, tail.at.cursor, timeout_s=max(timeout_s, 0.0))

    def _announcement_due_in_s(self, tail: "_Tail") -> float:
        return self._watermarks.due_in_s(tail.feed, time.monotonic()) if self._watermark else LOOK_EVERY_S

    async def _announce(self, tail: "_Tail", through: datetime) -> None:
        now = time.monotonic()
        if self._watermark is None or self._watermarks.due_in_s(tail.feed, now) > 0:
            return
        self._watermarks.reach(tail.feed, through, now)
        reached = self._watermarks.take(now)
        if reached is not None:
            await self._sync()
            await self._bus.publish(self._topic, [tail.copy_of(self._watermark(reached), reached)])

    async def _keep(self, tail: "_Tail") -> None:
        """Save the checkpoint when it is time, and notice when somebody has set it back."""
        now = time.monotonic()
        if tail.upkeep_due_in_s(now) > 0:
            return
        try:
            if tail.dirty:
                await self._save(tail)
            elif await tail.document.moved():
                await self._load(tail)
        except DocumentConflict:
            await self._load(tail)
        tail.kept_at = now

    async def _load(self, tail: "_Tail") -> None:
        tail.at = await tail.document.load()
        tail.dirty = False
        if tail.at.rewind is None:
            return
        log.info("relay_rewound", topic=self._topic, feed=tail.feed, rewind_id=tail.at.rewind.id)
        through = from_micros(0) if tail.at.through is None else tail.at.through - _TICK
        self._watermarks.restart(tail.feed, through)
        await self._announce(tail, through)

    async def _save_at_last(self, tail: "_Tail") -> None:
        """Save on the way out; failing costs a few repeats, while raising would hide why we leave."""
        try:
            if tail.dirty:
                await self._save(tail)
        except Exception as error:  # noqa: BLE001 - must not replace the cancellation or error in flight
            log.warning("relay_checkpoint_unsaved", topic=self._topic, feed=tail.feed, **describe(error))

    async def _set_back(self, feed: str, moment: datetime, rewind: Rewind) -> bool:
        document = self._document(feed)
        at = await document.load()
        if at.rewind is not None:  # then there may be more that has to reach everyone
            rewind = msgspec.structs.replace(rewind, to=EVERYONE)
        elif rewind.to != EVERYONE:
            rewind = msgspec.structs.replace(rewind, published=at.through)
        if at.through is not None:
            start = min(moment, at.through)  # what comes after that may have been published or not
            at = Checkpoint(await self._store.cursor_at(feed, start), start)
        try:
            await document.save(msgspec.structs.replace(at, rewind=rewind), durable=True)
        except DocumentConflict:
            return False
        return True

    def _seen_lag(self) -> float | None:
        """Return the lag as far as this process has seen it, without looking; None if another one is at work."""
        if not self._tails:
            return None
        waiting = [tail.waiting_since for tail in list(self._tails.values()) if tail.waiting_since is not None]
        return max(((self._clock() - since).total_seconds() for since in waiting), default=0.0)

    async def _waiting_s(self, feed: str) -> float:
        tail = self._tails.get(feed)
        at = tail.at if tail else await self._document(feed).load()
        page = await self._store.read_feed(feed, at.cursor, 1)
        return max((self._clock() - page.events[0].time).total_seconds(), 0.0) if page.events else 0.0

    def _document(self, feed: str) -> CheckpointDocument:
        return CheckpointDocument(self._views, f"relay/{self._topic}/{feed}")


class _Tail:
    """One feed's place: `at` runs ahead of the saved checkpoint while `dirty`."""

    def __init__(self, feed: str, document: CheckpointDocument) -> None:
        self.feed = feed
        self.document = document
        self.at = Checkpoint()
        self.dirty = False
        self.kept_at = time.monotonic()
        self.waiting_since: datetime | None = None
        self.through = from_micros(0)

    def advance(self, page: FeedPage) -> None:
        self.through = page.through if self.at.through is None else max(page.through, self.at.through)
        self.at = Checkpoint(page.cursor, self.through, self.at.rewind)
        self.dirty = True

    def reach_end(self, cursor: str) -> None:
        """Nothing is left to publish: if there was a rewind, every event up to its `until` has gone out again."""
        self.waiting_since = None
        if self.at.rewind is not None or self.at.cursor != cursor:
            self.at = msgspec.structs.replace(self.at, cursor=cursor, rewind=None)
            self.dirty = True

    def messages(self, message: OutgoingMessage, time: datetime) -> list[OutgoingMessage]:
        """Return what goes out for a message: itself, or what a rewind makes of it."""
        return [message] if self.at.rewind is None else self.at.rewind.messages(message, time)

    def copy_of(self, watermark: OutgoingMessage, time: datetime) -> OutgoingMessage:
        """Return the watermark, under an id of its own if it has been published before a rewind."""
        rewind = self.at.rewind
        return watermark if rewind is None or time > rewind.until else rewind.marked(watermark)

    def upkeep_due_in_s(self, now: float) -> float:
        return self.kept_at + (SAVE_EVERY_S if self.dirty else LOOK_EVERY_S) - now

    async def save(self) -> None:
        await self.document.save(self.at)
        self.dirty = False
