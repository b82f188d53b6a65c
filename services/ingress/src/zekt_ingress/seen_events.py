"""Which catalog events ingress has taken, so that whoever ordered a change can wait until it counts here."""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Final

from zekt_common.envelope import Envelope
from zekt_common.ports import Put, Views

PAGE: Final = 500
LOOK_AGAIN_S: Final = 0.1
KEPT_S: Final = 30 * 86_400
_DIGITS: Final = 12
_EVENT: Final = re.compile(r"(catalog/[1-9][0-9]*)@([1-9][0-9]{0,11})")


class SeenEvents:
    """A mark in `Views` for each event, in the order of a catalog's versions; any process may write them."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._changed = asyncio.Event()

    def mark(self, cause: Envelope) -> Put:
        """Return what is to be written, together with what the event changes."""
        id_ = str(cause.version).zfill(_DIGITS)
        return Put(partition=_partition(cause.stream), id=id_, body=b"{}", ttl_s=KEPT_S)

    def tell(self) -> None:
        """Have those who wait look again, once a mark is written."""
        self._changed.set()

    async def wait(self, event_ids: Collection[str], *, timeout_s: float) -> set[str]:
        """Wait until these events (`catalog/{account id}@{version}`) have been seen; return those that have not.

        One catalog is waited for after the other, so that a look is one listing however many events are awaited.
        """
        deadline = time.monotonic() + timeout_s
        unseen = {event_id for event_id in event_ids if not _EVENT.fullmatch(event_id)}
        for stream, marks in _by_stream(event_ids).items():
            unseen |= {f"{stream}@{int(mark)}" for mark in await self._wait_for(stream, marks, deadline)}
        return unseen

    async def _wait_for(self, stream: str, marks: set[str], deadline: float) -> set[str]:
        while True:
            self._changed.clear()
            marks = await self._unseen(stream, marks)
            left_s = deadline - time.monotonic()
            if not marks or left_s <= 0:
                return marks
            await self._wait_for_change(min(left_s, LOOK_AGAIN_S))  # another process may be the one that sees it

    async def _unseen(self, stream: str, marks: set[str]) -> set[str]:
        after, last = str(int(min(marks)) - 1).zfill(_DIGITS), max(marks)
        while True:
            page = await self._views.listing(_partition(stream), after=after, limit=PAGE)
            marks = marks - {document.id for document in page}
            if len(page) < PAGE or page[-1].id >= last:
                return marks
            after = page[-1].id

    async def _wait_for_change(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return


def _partition(stream: str) -> str:
    return f"{stream}/seen"


def _by_stream(event_ids: Collection[str]) -> Mapping[str, set[str]]:
    """Return the marks that are awaited, by catalog; what names no event of a catalog has none."""
    marks: defaultdict[str, set[str]] = defaultdict(set)
    for event_id in event_ids:
        if found := _EVENT.fullmatch(event_id):
            marks[found[1]].add(found[2].zfill(_DIGITS))
    return marks
