"""The writer process: commits for another process, over one socket a file, and ends when that process does.

The parent's end is `WriterProcess`; `python -m zekt_common.adapters.sqlite_writer_process DESCRIPTOR` is the process.
"""

import asyncio
import contextlib
import json
import pickle
import selectors
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from zekt_common.adapters.sqlite_file import connect
from zekt_common.adapters.sqlite_group_commit import GroupCommit, Write

HEADER_BYTES = 4
BUFFER_BYTES = 4 * 1024 * 1024
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
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    return pair


class _File:
    """One attached file: its socket, and the writes that have arrived and wait their turn."""

    def __init__(self, path: Path, connection: socket.socket, *, secure_delete: bool) -> None:
        self._connection = connection
        self._commits = GroupCommit(path, connect(path, secure_delete=secure_delete))
        self._received = bytearray()
        self._writes: list[Write] = []
        self.is_open = True

    def take_in(self) -> None:
        """Read what has arrived."""
        data = self._connection.recv(BUFFER_BYTES)
        self.is_open = bool(data)
        self._received += data
        while (content := take_frame(self._received)) is not None:
            self._writes += content

    def commit(self) -> bool:
        """Commit one batch and answer it; return whether more writes wait."""
        if self._writes:
            batch, self._writes = self._writes[:PIPELINED_BATCH], self._writes[PIPELINED_BATCH:]
            self._connection.sendall(frame(self._commits.commit(batch)))
        return bool(self._writes)

    def close(self) -> None:
        self._commits.close()
        self._connection.close()


def serve(control: socket.socket) -> None:
    """Commit for every file that is attached through `control`, in turns, until all sockets are closed."""
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        busy: set[_File] = set()
        while selector.get_map():
            for key, _ in selector.select(0 if busy else None):
                if key.data is None:
                    _attach(selector, control)
                else:
                    key.data.take_in()
                    busy.add(key.data)
                    if not key.data.is_open:
                        selector.unregister(key.fileobj)
            busy = {file for file in busy if _serve_turn(file)}


def _attach(selector: selectors.BaseSelector, control: socket.socket) -> None:
    order, descriptors, _, _ = socket.recv_fds(control, ORDER_BYTES, 1)
    if not order:
        selector.unregister(control)
        return
    path, secure_delete = json.loads(order)
    connection = socket.socket(fileno=descriptors[0])
    selector.register(connection, selectors.EVENT_READ, _File(Path(path), connection, secure_delete=secure_delete))


def _serve_turn(file: _File) -> bool:
    """Commit one batch of the file; return whether it has to have another turn."""
    if file.commit():
        return True
    if not file.is_open:
        file.close()
    return False


def main() -> None:
    """Be the writer process: the argument is the inherited control socket."""
    with (
        contextlib.suppress(BrokenPipeError, ConnectionResetError),
        socket.socket(fileno=int(sys.argv[1])) as control,
    ):
        serve(control)


if __name__ == "__main__":
    main()
