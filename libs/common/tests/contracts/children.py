"""Processes for the suites to start, listen to and kill."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[4]
CHILD = "libs.common.tests.contracts.child"
TELLS_WITHIN_S = 60

StartChild = Callable[[str, str], Awaitable[Process]]


@asynccontextmanager
async def children(engine: str, directory: Path, environment: Mapping[str, str]) -> AsyncIterator[StartChild]:
    """Enter with what starts a process that does `work` under a prefix; those that live at the end are killed."""
    processes: list[Process] = []

    async def begin(work: str, prefix: str) -> Process:
        command = [sys.executable, "-m", CHILD, engine, str(directory), work, prefix]
        started = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=os.environ | environment, stdout=PIPE)
        processes.append(started)
        return started

    yield begin
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def told(process: Process) -> str:
    """Return the next line that the process tells."""
    assert process.stdout is not None
    async with asyncio.timeout(TELLS_WITHIN_S):
        return (await process.stdout.readline()).decode().strip()
