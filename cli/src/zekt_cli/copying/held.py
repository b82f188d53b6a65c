"""Both sides held still while they are copied: no suite runs on either, and none can start to work."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from zekt_cli.exits import CommandFailed, Exit
from zekt_cli.hosting.directory import occupied
from zekt_common.adapters.embedded import KEYS
from zekt_common.ports import Leases

FREE_WITHIN_S: Final = 20.0
"""Longer than a lease outlives the process that held it, and than a busy machine takes to see that for all of them."""
LOOPS: Final = ("relay", "sweeper", "retention")
"""What writes without being asked; each service that runs has at least one of them."""


@contextmanager
def held_directory(data_dir: Path) -> Iterator[None]:
    """Keep every suite and service off the data directory.

    Raises:
        CommandFailed: 1 when one runs on it, 2 when it is no suite's.
    """
    if not (data_dir / KEYS).is_file():
        raise CommandFailed(Exit.USAGE, f"{data_dir} holds no suite's data: choose another --data-dir")
    with ExitStack() as stack:
        stack.enter_context(occupied(data_dir))
        for path in sorted((data_dir / "leases").glob("*.lease")):
            stack.enter_context(_locked(path))
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            service = f"a service runs on {path.parent.parent} (it holds {path.name})"
            raise CommandFailed(Exit.CHECK_FAILED, f"{service}: stop it first") from None
        yield
    finally:
        os.close(descriptor)


@asynccontextmanager
async def held_loops(leases: Sequence[tuple[str, Leases]]) -> AsyncIterator[None]:
    """Hold the lease of every loop that writes by itself, of each service by name, for as long as the block lasts.

    Raises:
        CommandFailed: 1 when a suite, or a service of one, keeps one of them.
        LeaseLost: one could not be renewed; the block was cancelled.
    """
    kept = {f"{loop}/{service}": each for service, each in leases for loop in LOOPS}
    taken = set(kept)
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(FREE_WITHIN_S):
                await asyncio.gather(*(_await_free(name, each, taken) for name, each in kept.items()))
                taken = set(kept)
                for name, each in kept.items():
                    await stack.enter_async_context(each.hold(name))
                    taken.discard(name)
        except TimeoutError:
            where = "where ZEKT_COSMOS_ENDPOINT leads"
            holds = ", ".join(sorted(taken))
            raise CommandFailed(Exit.CHECK_FAILED, f"a suite runs {where} (it holds {holds}): stop it first") from None
        yield


async def _await_free(name: str, leases: Leases, taken: set[str]) -> None:
    """Wait, beside the others, until what a dead process left has passed on."""
    async with leases.hold(name):
        taken.discard(name)
