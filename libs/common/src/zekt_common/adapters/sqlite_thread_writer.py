"""The writer of a file of moderate traffic: a thread.

Each of its SQLite calls gives up the GIL and must win it back from the event loop; in a busy process that hand-over
costs more than the work. See `sqlite_process_writer` for those.
"""

import asyncio
import queue
import threading
from pathlib import Path

from zekt_common.adapters.sqlite_group_commit import MAX_BATCH, GroupCommit, Settle, Submission
from zekt_common.errors import StorageUnusable


class ThreadWriter:
    """A thread that owns the writing connection."""

    def __init__(self, path: Path, commits: GroupCommit, settle: Settle) -> None:
        self._path, self._commits, self._settle = path, commits, settle
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Submission | None] = queue.SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=f"zekt-writer-{path.stem}", daemon=True)
        self._thread.start()

    def submit(self, submission: Submission) -> None:
        """Queue a write; see `Writer`."""
        if self._stopped:
            raise StorageUnusable(f"{self._path} is closed")
        self._queue.put(submission)

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
            results = self._commits.commit([submission.write for submission in batch])
            self._loop.call_soon_threadsafe(self._settle, batch, results)
            if last:
                return

    def _gather(self, first: Submission) -> tuple[list[Submission], bool]:
        batch = [first]
        for _ in range(min(self._queue.qsize(), MAX_BATCH - 1)):
            queued = self._queue.get_nowait()
            if queued is None:
                return batch, True
            batch.append(queued)
        return batch, False
