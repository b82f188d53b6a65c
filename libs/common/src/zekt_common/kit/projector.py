"""The projector: folds a service's own events into its views, exactly once.

Changes and checkpoint are one write, so that a crash leaves both or neither.
"""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet

import structlog

from zekt_common.clock import Clock, utc_now
from zekt_common.envelope import Envelope
from zekt_common.errors import DocumentConflict
from zekt_common.kit.checkpoints import Checkpoint, CheckpointDocument
from zekt_common.kit.supervision import supervise
from zekt_common.ports import EventStore, FeedPage, Put, Remove, Views

Change = Put | Remove
Project = Callable[[Envelope], Sequence[Change]]

PAGE = 1000
CATCH_UP_PAGE = 2000
KEEP_EVERY_S = 1.0
GATHER_S = 0.05
PAGES_AHEAD = 4
REMEMBERED_STREAMS = 10_000

log = structlog.get_logger()


class Projector:
    """Writes what `project` makes of each own event; of several changes to one document the last wins.

    Several may run, in one process or in many: whoever finds the checkpoint moved goes on from there.
    """

    def __init__(self, store: EventStore, views: Views, *, name: str, project: Project, clock: Clock = utc_now) -> None:
        self._store, self._views = store, views
        self._name = name
        self._project = project
        self._clock = clock
        self._tails: dict[str, _Tail] = {}
        self._progress = asyncio.Event()
        self._projected_lately = _Lately()
        self._awaited = 0
        self._hurry = asyncio.Event()
        self.caught_up = asyncio.Event()
        self.projected = 0

    async def run(self) -> None:
        """Project until cancelled; whatever fails is logged and tried again."""
        await supervise(f"projector/{self._name}", self._follow_all)

    async def wait_for_stored(self) -> None:
        """Return once everything that is stored by now is in the views, whoever appended it."""
        with self._hurried():
            for feed in await self._store.feeds():
                await self._wait_for_feed(feed)

    async def wait_for_events(self, events: Sequence[Envelope]) -> None:
        """Return once these events, just appended, are in the views: to read your own write, as soon as it is there."""
        with self._hurried():
            for feed in await self._store.feeds():
                await self._wait_for(feed, events)

    @contextlib.contextmanager
    def _hurried(self) -> Iterator[None]:
        self._awaited += 1
        self._hurry.set()
        try:
            yield
        finally:
            self._awaited -= 1

    async def _wait_for_feed(self, feed: str) -> None:
        """Look for the end, and wait for the last event of each page before it: pages are projected in order."""
        ended = False
        while not ended:
            pages = [page async for page in self._pages_ahead(feed)]
            ended = not pages[-1].events
            await self._wait_for(feed, [page.events[-1] for page in pages if page.events])

    async def _wait_for(self, feed: str, events: Sequence[Envelope]) -> None:
        progress = self._progress
        while not self._projected_lately.has(events) and await self._misses(feed, {event.id for event in events}):
            await progress.wait()
            progress = self._progress

    async def _misses(self, feed: str, ids: AbstractSet[str]) -> bool:
        """Return whether one of these events is not in the views yet, or may not be."""
        async for page in self._pages_ahead(feed):
            if not page.events:
                return False
            if any(event.id in ids for event in page.events):
                return True
        return True

    async def _pages_ahead(self, feed: str) -> AsyncIterator[FeedPage]:
        """Yield pages of what is not in the views yet, at last an empty one unless there is a lot."""
        cursor = (await self._place(feed)).cursor
        for _ in range(PAGES_AHEAD):
            page = await self._store.read_feed(feed, cursor, PAGE)
            yield page
            if not page.events:
                return
            cursor = page.cursor

    async def lag(self) -> float:
        """Return for how many seconds the oldest event not yet in the views has been waiting; 0 when none is."""
        missing = [await self._first_missing(feed) for feed in await self._store.feeds()]
        waiting = [(self._clock() - event.time).total_seconds() for page in missing for event in page.events]
        return max(waiting, default=0.0)

    async def rebuild(self, partitions: Sequence[str] = ()) -> None:
        """Empty `partitions` and project everything from the beginning, by whoever runs.

        Until that is done queries find less than there is: `caught_up` is cleared where the projector runs.
        """
        for partition in partitions:
            while documents := await self._views.listing(partition):
                await self._views.write([Remove(partition=partition, id=document.id) for document in documents])
        for feed in await self._store.feeds():
            while not await self._reset(feed):
                log.info("projector_rebuild_contended", projector=self._name, feed=feed)

    async def _follow_all(self) -> None:
        feeds = await self._store.feeds()
        self._tails = {feed: _Tail(feed, self._document(feed)) for feed in feeds}
        async with asyncio.TaskGroup() as group:
            for tail in self._tails.values():
                group.create_task(self._follow(tail))

    async def _follow(self, tail: "_Tail") -> None:
        tail.at = await tail.document.load()
        while True:
            try:
                await self._step(tail)
            except DocumentConflict:
                await self._go_on_from_stored(tail)

    async def _step(self, tail: "_Tail") -> None:
        page = await self._store.read_feed(tail.feed, tail.at.cursor, tail.page)
        if page.events:
            await self._apply(tail, page)
            if len(page.events) < PAGE:
                await self._gather()
        else:
            self._note_end(tail, page.cursor)
            await self._store.wait(tail.feed, tail.at.cursor, timeout_s=KEEP_EVERY_S)
        await self._keep(tail)

    async def _apply(self, tail: "_Tail", page: FeedPage) -> None:
        after = Checkpoint(page.cursor, page.through)
        changes = self._changes(page.events)
        if changes:
            await tail.document.save(after, changes)
        tail.at, tail.dirty = after, not changes
        self.projected += len(page.events)
        self._projected_lately.note(page.events)
        self._tell_progress()

    async def _gather(self) -> None:
        """Let more events come together for the next write, unless somebody waits to see them."""
        self._hurry.clear()
        if not self._awaited:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GATHER_S):
                    await self._hurry.wait()

    def _changes(self, events: Sequence[Envelope]) -> list[Change]:
        """Return the last change of each document: one write holds a document once."""
        latest: dict[tuple[str, str], Change] = {}
        for event in events:
            for change in self._project(event):
                latest[change.partition, change.id] = change
        return list(latest.values())

    async def _keep(self, tail: "_Tail") -> None:
        """Save a checkpoint that moved without changes, and notice when somebody has set it back.

        Raises:
            DocumentConflict: somebody else has moved it.
        """
        if time.monotonic() - tail.kept_at < KEEP_EVERY_S:
            return
        tail.kept_at = time.monotonic()
        if tail.dirty:
            await tail.document.save(tail.at)
            tail.dirty = False
        elif await tail.document.moved():
            await self._go_on_from_stored(tail)

    async def _go_on_from_stored(self, tail: "_Tail") -> None:
        tail.at, tail.dirty = await tail.document.load(), False
        if not tail.at.cursor:
            log.info("projector_rebuilding", projector=self._name, feed=tail.feed)
            tail.ended = False
            self.caught_up.clear()
            self._projected_lately = _Lately()
        self._tell_progress()

    def _note_end(self, tail: "_Tail", cursor: str) -> None:
        tail.ended = True
        if cursor != tail.at.cursor:
            tail.at, tail.dirty = Checkpoint(cursor, tail.at.through), True
        if all(other.ended for other in self._tails.values()):
            self.caught_up.set()

    def _tell_progress(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    async def _first_missing(self, feed: str) -> FeedPage:
        """Return the first event that is not in the views yet, and what was appended with it."""
        return await self._store.read_feed(feed, (await self._place(feed)).cursor, 1)

    async def _place(self, feed: str) -> Checkpoint:
        tail = self._tails.get(feed)
        return tail.at if tail else await self._document(feed).load()

    async def _reset(self, feed: str) -> bool:
        document = self._document(feed)
        await document.load()
        try:
            await document.save(Checkpoint())
        except DocumentConflict:
            return False
        return True

    def _document(self, feed: str) -> CheckpointDocument:
        return CheckpointDocument(self._views, f"projector/{self._name}/{feed}")


class _Lately:
    """Up to which version the streams that were projected last have come; others may be further than is known here."""

    def __init__(self) -> None:
        self._versions: OrderedDict[str, int] = OrderedDict()

    def note(self, events: Sequence[Envelope]) -> None:
        for event in events:
            self._versions[event.stream] = event.version
            self._versions.move_to_end(event.stream)
        while len(self._versions) > REMEMBERED_STREAMS:
            self._versions.popitem(last=False)

    def has(self, events: Sequence[Envelope]) -> bool:
        """Return whether all of these are known to be projected."""
        return all(self._versions.get(event.stream, 0) >= event.version for event in events)


class _Tail:
    """One feed's place: `at` runs ahead of the saved checkpoint while `dirty`."""

    def __init__(self, feed: str, document: CheckpointDocument) -> None:
        self.feed = feed
        self.document = document
        self.at = Checkpoint()
        self.dirty = False
        self.ended = False
        self.kept_at = time.monotonic()

    @property
    def page(self) -> int:
        """How many events to take at once: more until the end was seen, as nobody is served meanwhile.

        Most documents change several times in their life, and a write holds each once.
        """
        return PAGE if self.ended else CATCH_UP_PAGE
