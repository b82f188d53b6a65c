"""The writer of a file whose commits do not wait for the disk: the event loop itself, at the end of its turn."""

import asyncio
from pathlib import Path

from zekt_common.adapters.sqlite_group_commit import GroupCommit, Settle, Submission
from zekt_common.errors import StorageUnusable

PATIENCE_S = 0.005
LOOK_AGAIN_S = 0.001


class LoopWriter:
    """Commits everything that was submitted in one turn of the loop together; what is patient waits for others.

    Such a commit takes tens of microseconds, less than handing it to a thread and back. What would hold the loop up is
    kept from it: durable writes are refused, and while another process commits, which may have been stopped at that
    very moment, more writes gather.
    """

    def __init__(self, path: Path, commits: GroupCommit, settle: Settle) -> None:
        self._path, self._commits, self._settle = path, commits, settle
        self._loop = asyncio.get_running_loop()
        self._submitted: list[Submission] = []
        self._is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def submit(self, submission: Submission) -> None:
        """Queue a write for the end of this turn; see `Writer`."""
        if self._stopped:
            raise StorageUnusable(f"{self._path} is closed")
        if submission.write.durable:
            raise ValueError("a loop writer takes no durable writes: sync the file instead")
        self._submitted.append(submission)
        self._is_idle.clear()
        if not submission.is_patient and not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._commit)
        elif self._timer is None:
            self._timer = self._loop.call_later(PATIENCE_S, self._commit)

    async def stop(self) -> None:
        """Commit what was submitted, then close the connection."""
        self._stopped = True
        self._commit()
        await self._is_idle.wait()
        await asyncio.sleep(0)  # whoever awaits the last batch goes on first
        self._commits.close()

    def _commit(self) -> None:
        self._is_due = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._submitted:
            return
        results = self._commits.commit_now([submission.write for submission in self._submitted])
        if results is None:
            self._timer = self._loop.call_later(LOOK_AGAIN_S, self._commit)
            return
        submitted, self._submitted = self._submitted, []
        self._settle(submitted, results)
        self._is_idle.set()
