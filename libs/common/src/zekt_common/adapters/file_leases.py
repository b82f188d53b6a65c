"""Leases as locked files: the kernel releases them when their holder dies."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

from zekt_common.errors import StorageUnusable

RETRY_S = 0.25


class FileLeases:
    """The `Leases` port over one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @asynccontextmanager
    async def hold(self, name: str, /) -> AsyncIterator[None]:
        """Hold the lease, asking for it every 250 ms while somebody else does."""
        descriptor = self._open(name)
        try:
            while not _locked(descriptor):  # noqa: ASYNC110 - the holder may be another process
                await asyncio.sleep(RETRY_S)
            yield
        finally:
            os.close(descriptor)

    def _open(self, name: str) -> int:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self._directory / f"{quote(name, safe='')}.lease", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageUnusable(f"{self._directory} cannot be used for leases: {error.strerror}") from error


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
