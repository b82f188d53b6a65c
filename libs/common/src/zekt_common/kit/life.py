"""Where a host is in its life: starting, running or stopping."""

import asyncio
import contextlib
from enum import StrEnum
from typing import Final

STARTED_WITHIN_S: Final = 5.0


class Phase(StrEnum):
    """Where a host is in its life; requests are handled while it is RUNNING or STOPPING."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class Life:
    """A host's phase, and the wait of requests that come before it runs."""

    def __init__(self, *, patience_s: float = STARTED_WITHIN_S) -> None:
        self.phase = Phase.STARTING
        self._patience_s = patience_s
        self._start_over = asyncio.Event()

    def enter(self, phase: Phase) -> None:
        """Go on to this phase, and let go who waits for the start."""
        self.phase = phase
        self._start_over.set()

    def fail_to_start(self) -> None:
        """Let go who waits, in the phase that it is in."""
        self._start_over.set()

    async def started(self) -> bool:
        """Return whether it has started; while it has not, wait for that, but not for ever."""
        if self.phase is Phase.STARTING:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience_s):
                    await self._start_over.wait()
        return self.phase is not Phase.STARTING
