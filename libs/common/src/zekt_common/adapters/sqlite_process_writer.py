"""The writer of a file in a busy process: another process, which commits on another core and leaves us the GIL."""

import asyncio
from pathlib import Path
from typing import cast

import structlog

from zekt_common.adapters.sqlite_frames import Received, frame
from zekt_common.adapters.sqlite_group_commit import Settle, Submission
from zekt_common.adapters.sqlite_writer_process import WriterProcess
from zekt_common.errors import StorageUnusable

RESTART_S = 0.1

log = structlog.get_logger()


class ProcessWriter(asyncio.Protocol):
    """One file's connection to the writer process. Writes must be picklable: module-level functions and plain items.

    Should the process die, what it had not answered fails, and another one takes its place.
    """

    def __init__(self, path: Path, process: WriterProcess, settle: Settle, *, secure_delete: bool) -> None:
        self._path, self._process, self._settle, self._secure_delete = path, process, settle, secure_delete
        self._loop = asyncio.get_running_loop()
        self._submitted: list[Submission] = []
        self._sent: list[Submission] = []
        self._received = Received()
        self._transport: asyncio.Transport | None = None
        self._stopping = False
        self._ended = asyncio.Event()
        self._restarting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Have the process open the file.

        Raises:
            OSError: the process cannot be started.
        """
        connection = await self._process.attach(self._path, secure_delete=self._secure_delete)
        await self._loop.create_connection(lambda: self, sock=connection)

    def submit(self, submission: Submission) -> None:
        """Queue a write; all of one turn of the loop travel together."""
        if self._stopping:
            raise StorageUnusable(f"{self._path} is closed")
        if not self._submitted:
            self._loop.call_soon(self._flush)
        self._submitted.append(submission)

    async def stop(self) -> None:
        """Finish what was submitted, then have the process close the file."""
        self._flush()
        self._stopping = True
        if self._restarting is not None:
            await self._restarting
        if self._transport is not None:
            self._transport.write_eof()
            await self._ended.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what was submitted meanwhile; asyncio calls this."""
        self._transport = cast("asyncio.Transport", transport)
        self._received = Received()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Settle the answered writes, which come back in order."""
        self._received.take(data)
        for results in self._received.frames():
            answered, self._sent = self._sent[: len(results)], self._sent[len(results) :]
            self._settle(answered, results)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is unanswered: whether it was committed is unknown, as after any crash."""
        del exc
        self._transport = None
        lost = StorageUnusable(f"{self._path}: its writer process died; another one takes its place")
        unanswered, self._sent = self._sent, []
        self._settle(unanswered, [lost] * len(unanswered))
        self._ended.set()
        if not self._stopping:
            log.error("writer_process_died", file=self._path.name)
            self._restarting = self._loop.create_task(self._restart())

    async def _restart(self) -> None:
        """Attach again until it works; what was submitted meanwhile fails rather than waits."""
        self._ended.clear()
        while not self._stopping:
            await asyncio.sleep(RESTART_S)
            try:
                await self.start()
            except OSError as error:
                self._refuse(f"its writer process cannot be started: {error}")
            else:
                break

    def _refuse(self, reason: str) -> None:
        log.error("writer_process_not_started", file=self._path.name, reason=reason)
        refused = StorageUnusable(f"{self._path}: {reason}")
        submitted, self._submitted = self._submitted, []
        self._settle(submitted, [refused] * len(submitted))

    def _flush(self) -> None:
        if self._submitted and self._transport is not None:
            submitted, self._submitted = self._submitted, []
            self._sent += submitted
            self._transport.writelines(frame([submission.write for submission in submitted]))
