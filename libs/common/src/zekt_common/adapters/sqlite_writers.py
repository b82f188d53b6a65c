"""Who commits: a thread of this process, or a process of its own when ingest is all that matters.

A thread is simplest. But each of its SQLite calls gives up the GIL and must win it back from a busy event loop; under a
flood of webhooks that hand-over costs more than the work. A process pays for pickling instead and uses another core.
"""

import asyncio
import contextlib
import pickle
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import structlog

from zekt_common.adapters.sqlite_group_commit import MAX_BATCH, GroupCommit, Write
from zekt_common.errors import StorageUnusable

Settle = Callable[[Sequence[tuple[asyncio.Future[Any], Any]]], None]

HEADER_BYTES = 4
SOCKET_BUFFER_BYTES = 4 * 1024 * 1024
RESTART_S = 0.1
PIPELINED_BATCH = 16  # small, so that the parent goes on with one batch's answers while the next one commits

log = structlog.get_logger()


class Writer(Protocol):
    """Takes writes in any number and settles their futures on the loop, in batches."""

    def submit(self, write: Write, done: asyncio.Future[Any]) -> None:
        """Queue a write.

        Raises:
            StorageUnusable: the writer is gone.
        """
        ...

    async def stop(self) -> None:
        """Finish what was submitted, then end."""
        ...


class ThreadWriter:
    """A thread that owns the writing connection."""

    def __init__(self, path: Path, commits: GroupCommit, settle: Settle) -> None:
        self._path, self._commits, self._settle = path, commits, settle
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[Write, asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=f"zekt-writer-{path.stem}", daemon=True)
        self._thread.start()

    def submit(self, write: Write, done: asyncio.Future[Any]) -> None:
        """Queue a write; see `Writer`."""
        if self._stopped:
            raise StorageUnusable(f"{self._path} is closed")
        self._queue.put((write, done))

    async def stop(self) -> None:
        """Finish what was submitted, then close the connection."""
        self._stopped = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.sleep(0)  # the last batch settles first
        self._commits.close()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, last = self._gather(first)
            results = self._commits.commit([write for write, _ in batch])
            settled = list(zip((done for _, done in batch), results, strict=True))
            self._loop.call_soon_threadsafe(self._settle, settled)
            if last:
                return

    def _gather(self, first: tuple[Write, asyncio.Future[Any]]) -> tuple[list[tuple[Write, asyncio.Future[Any]]], bool]:
        batch = [first]
        for _ in range(min(self._queue.qsize(), MAX_BATCH - 1)):
            queued = self._queue.get_nowait()
            if queued is None:
                return batch, True
            batch.append(queued)
        return batch, False


class ProcessWriter(asyncio.Protocol):
    """The parent's end of a writer process. Writes must be picklable: module-level functions and plain items.

    Should the process die, what it had not answered fails, and another one takes its place.
    """

    def __init__(self, path: Path, settle: Settle, *, secure_delete: bool) -> None:
        self._path, self._settle, self._secure_delete = path, settle, secure_delete
        self._loop = asyncio.get_running_loop()
        self._submitted: list[tuple[Write, asyncio.Future[Any]]] = []
        self._sent: list[asyncio.Future[Any]] = []
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._stopping = False
        self._ended = asyncio.Event()
        self._restarting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process; it ends by itself when this one does, however that happens."""
        ours, theirs = _socket_pair()
        try:
            self._process = self._spawn(theirs)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        await self._loop.create_connection(lambda: self, sock=ours)

    def _spawn(self, inherited: socket.socket) -> subprocess.Popen[bytes]:
        descriptor = inherited.fileno()
        return subprocess.Popen(  # noqa: S603 - our own module under our own interpreter
            [sys.executable, "-m", __name__, str(self._path), str(descriptor), str(int(self._secure_delete))],
            pass_fds=[descriptor],
            start_new_session=True,  # a Ctrl-C is ours to handle: the writer ends after the last write
        )

    @property
    def pid(self) -> int:
        """The process's id, for whoever accounts for its CPU."""
        return self._process.pid

    def submit(self, write: Write, done: asyncio.Future[Any]) -> None:
        """Queue a write; all of one turn of the loop travel together."""
        if self._stopping:
            raise StorageUnusable(f"{self._path} is closed")
        if not self._submitted:
            self._loop.call_soon(self._flush)
        self._submitted.append((write, done))

    async def stop(self) -> None:
        """Finish what was submitted, then let the process end."""
        self._flush()
        self._stopping = True
        if self._restarting is not None:
            await self._restarting
        if self._transport is not None:
            self._transport.write_eof()
            await self._ended.wait()
        await asyncio.to_thread(self._process.wait)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what was submitted meanwhile; asyncio calls this."""
        self._transport = cast("asyncio.Transport", transport)
        self._received.clear()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Settle the answered writes, which come back in order."""
        self._received += data
        while (results := take_frame(self._received)) is not None:
            answered, self._sent = self._sent[: len(results)], self._sent[len(results) :]
            self._settle(list(zip(answered, results, strict=True)))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is unanswered: whether it was committed is unknown, as after any crash."""
        del exc
        self._transport = None
        lost = StorageUnusable(f"{self._path}: its writer process died; another one takes its place")
        unanswered, self._sent = self._sent, []
        self._settle([(done, lost) for done in unanswered])
        self._ended.set()
        if not self._stopping:
            log.error("writer_process_died", file=self._path.name, process=self._process.pid)
            self._restarting = self._loop.create_task(self._restart())

    async def _restart(self) -> None:
        """Start again until it works; what was submitted meanwhile fails rather than waits."""
        await asyncio.to_thread(self._process.wait)
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
        self._settle([(done, refused) for _, done in submitted])

    def _flush(self) -> None:
        if self._submitted and self._transport is not None:
            submitted, self._submitted = self._submitted, []
            self._sent += [done for _, done in submitted]
            self._transport.write(frame([write for write, _ in submitted]))


def frame(content: list[Any]) -> bytes:
    """Return the list as one frame: its length, then its pickle. Both ends of the socket are this program."""
    body = pickle.dumps(content, protocol=5)
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def take_frame(received: bytearray) -> list[Any] | None:
    """Remove the first frame from `received` and return what it holds, or None while it is incomplete."""
    end = HEADER_BYTES + int.from_bytes(received[:HEADER_BYTES], "big")
    if len(received) < max(end, HEADER_BYTES):
        return None
    with memoryview(received) as view:
        content: list[Any] = pickle.loads(view[HEADER_BYTES:end])  # noqa: S301 - written by our own other end
    del received[:end]
    return content


def _socket_pair() -> tuple[socket.socket, socket.socket]:
    pair = socket.socketpair()
    for end in pair:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
    return pair


def serve(path: Path, connection: socket.socket, *, secure_delete: bool) -> None:
    """Commit what comes through `connection` until the other end is gone: all that has arrived shares a transaction."""
    commits = GroupCommit(path, secure_delete=secure_delete)
    received = bytearray()
    while data := connection.recv(SOCKET_BUFFER_BYTES):
        received += data
        with contextlib.suppress(BlockingIOError):
            while more := connection.recv(SOCKET_BUFFER_BYTES, socket.MSG_DONTWAIT):
                received += more
        writes: list[Write] = []
        while (content := take_frame(received)) is not None:
            writes += content
        for start in range(0, len(writes), PIPELINED_BATCH):
            connection.sendall(frame(commits.commit(writes[start : start + PIPELINED_BATCH])))
    commits.close()


def main() -> None:
    """Be the writer process: arguments are the file, the inherited socket and whether deletion overwrites."""
    path, descriptor, secure_delete = sys.argv[1:]
    with (
        contextlib.suppress(BrokenPipeError, ConnectionResetError),
        socket.socket(fileno=int(descriptor)) as connection,
    ):
        serve(Path(path), connection, secure_delete=bool(int(secure_delete)))


if __name__ == "__main__":
    main()
