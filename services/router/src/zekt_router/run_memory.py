"""Runs in memory: those handled last, kept up by reading only what is new."""

from collections import OrderedDict

import msgspec

from zekt_common.decider import fold
from zekt_common.envelope import Envelope
from zekt_common.ports import EventStore
from zekt_router.run import RUN
from zekt_router.run_state import Run

CAPACITY = 1000
_NOTHING = msgspec.Raw(b"{}")


class RunAt(msgspec.Struct, frozen=True):
    """A run at a version, with its last event but for what that carried; None before the first."""

    run: Run
    version: int
    last: Envelope | None


class RunMemory:
    """What is remembered is always some past of the stream, so that forgetting it changes nothing."""

    def __init__(self, store: EventStore, *, capacity: int = CAPACITY) -> None:
        self._store = store
        self._capacity = capacity
        self._remembered: OrderedDict[str, RunAt] = OrderedDict()

    async def load(self, stream: str) -> RunAt:
        """Return the run as it is stored now."""
        at = self._remembered.get(stream) or RunAt(Run(), 0, None)
        news = await self._store.read(stream, after=at.version)
        if not news:
            return at
        run, _ = fold(RUN, news, at.run, at.version)
        return self.keep(stream, run, news[-1])

    def keep(self, stream: str, run: Run, last: Envelope) -> RunAt:
        """Remember the run as it is after its last event."""
        at = RunAt(run, last.version, msgspec.structs.replace(last, data=_NOTHING))
        known = self._remembered.get(stream)
        if known is None or known.version < at.version:
            self._remembered[stream] = at
        self._remembered.move_to_end(stream)
        if len(self._remembered) > self._capacity:
            self._remembered.popitem(last=False)
        return at
