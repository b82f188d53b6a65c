"""The writer process: commits for another process, over one socket a file, and ends when that process does.

The parent's end is `WriterProcess`; `python -m zekt_common.adapters.sqlite_writer_process DESCRIPTOR` is the process.
"""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

from zekt_common.adapters.sqlite_file import connect
from zekt_common.adapters.sqlite_frames import BUFFER_BYTES, Received, frame
from zekt_common.adapters.sqlite_group_commit import GroupCommit, Write

ORDER_BYTES = 16 * 1024
PIPELINED_BATCH = 16  # small, so that the parent goes on with one batch's answers while the next one commits


class WriterProcess:
    """The process that commits for this one; it runs while files are attached, and is started anew after its death."""

    def __init__(self) -> None:
        self._starting = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """The process's id, for whoever accounts for its CPU; None before the first file."""
        return self._process.pid if self._process else None

    async def attach(self, path: Path, *, secure_delete: bool) -> socket.socket:
        """Have the process open the file, and return the socket that takes frames of writes to it.

        Raises:
            OSError: the process cannot be started.
        """
        async with self._starting:
            control = await self._running()
            ours, theirs = _socket_pair()
            try:
                order = json.dumps([str(path), secure_delete]).encode()
                socket.send_fds(control, [order], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
            finally:
                theirs.close()
            return ours

    async def stop(self) -> None:
        """Let the process end, once the last file is detached."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)
            self._process = None

    async def _running(self) -> socket.socket:
        if self._process is not None and self._process.poll() is not None:
            await self.stop()
        if self._control is None:
            self._control = self._start()
        return self._control

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module under our own interpreter
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a Ctrl-C is ours to handle: the writer ends after the last write
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours


def _socket_pair() -> tuple[socket.socket, socket.socket]:
    pair = socket.socketpair()
    for end in pair:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    return pair


def serve(control: socket.socket) -> None:
    """Commit for every file that is attached through `control`, until all sockets are closed."""
    threads = []
    while descriptors := (received := socket.recv_fds(control, ORDER_BYTES, 1))[1]:
        path, secure_delete = json.loads(received[0])
        file = Path(path), socket.socket(fileno=descriptors[0])
        threads.append(threading.Thread(target=_serve_file, args=file, kwargs={"secure_delete": secure_delete}))
        threads[-1].start()
    for thread in threads:
        thread.join()


def _serve_file(path: Path, connection: socket.socket, *, secure_delete: bool) -> None:
    """Commit what arrives until the other end is gone: one thread a file, so that they wait for the disk together."""
    with connection, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        commits = GroupCommit(path, connect(path, secure_delete=secure_delete))
        received = Received()
        while received.receive(connection):
            writes: list[Write] = [write for content in received.frames() for write in content]
            for start in range(0, len(writes), PIPELINED_BATCH):
                results = commits.commit(writes[start : start + PIPELINED_BATCH])
                connection.sendall(b"".join(frame(results)))
        commits.close()


def main() -> None:
    """Be the writer process: the argument is the inherited control socket."""
    with socket.socket(fileno=int(sys.argv[1])) as control:
        serve(control)


if __name__ == "__main__":
    main()
