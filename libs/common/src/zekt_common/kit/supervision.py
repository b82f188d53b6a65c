"""Keeping background loops alive: an error is logged and waited out, a cancellation passes."""

import asyncio
import random
import time
import traceback
from collections.abc import Awaitable, Callable, Collection

import structlog

from zekt_common.errors import ZektError

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0
HEALTHY_S = 30.0
DRAIN_S = 4.0
CANCELLED_AGAIN_S = 1.5
_FRAMES = 3

log = structlog.get_logger()


def growing_pause_s(failures: int, *, first_s: float, longest_s: float) -> float:
    """Return the pause after the `failures`-th failure in a row: doubled each time, capped, jittered by a quarter."""
    plain = first_s * 2.0 ** min(failures - 1, 32)
    return min(plain, longest_s) * random.uniform(0.75, 1.0)  # noqa: S311 - spreads retries, guards nothing


def describe(error: BaseException) -> dict[str, str]:
    """Return what a log line may say of `error`: its type and place, and our own errors' messages.

    A foreign error's message may quote a payload or a token, so it stays out.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    place = " > ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames)
    told = {"error": type(error).__name__, "at": place}
    return told | {"detail": str(error)} if isinstance(error, ZektError) else told


async def supervise(
    loop: str, work: Callable[[], Awaitable[None]], *, longest_pause_s: float = LONGEST_PAUSE_S
) -> None:
    """Run `work` until it returns; after an error run it again, with growing pauses while errors follow closely."""
    failures = 0
    while True:
        began = time.monotonic()
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever it was, the loop must outlive it
            failures = 1 if time.monotonic() - began > HEALTHY_S else failures + 1
            pause_s = growing_pause_s(failures, first_s=FIRST_PAUSE_S, longest_s=longest_pause_s)
            log.error(  # noqa: TRY400 - a traceback may quote a payload
                "background_loop_failed", loop=loop, retry_in_s=round(pause_s, 3), **describe(error)
            )
            await asyncio.sleep(pause_s)
        else:
            return


async def finish(tasks: Collection[asyncio.Task[None]], *, within_s: float) -> None:
    """Let `tasks` end by themselves within the bound, then cancel the rest and wait until they are gone.

    A task group that fails at that very moment swallows the cancellation, so it is repeated.
    """
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=within_s)
    while late:
        for task in late:
            task.cancel()
        _, late = await asyncio.wait(late, timeout=CANCELLED_AGAIN_S)
