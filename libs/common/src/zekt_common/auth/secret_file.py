"""Secrets in files: made once by whoever comes first, used only if they are nobody else's.

A volume that is given to a pod's group (`fsGroup`) has its files opened to that group, which is the process's own.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from zekt_common.errors import StorageUnusable

OWNER_ALONE: Final = 0o077
_GROUP: Final = 0o070


def check_private(path: Path, status: os.stat_result, *, forbidden: int = OWNER_ALONE) -> None:
    """Pass if the file gives none of the `forbidden` permissions; a group of the process's own may have any.

    Raises:
        StorageUnusable: it is open to others.
    """
    is_own_group = status.st_gid in {os.getegid(), *os.getgroups()}
    mode = stat.S_IMODE(status.st_mode)
    if mode & (forbidden & ~_GROUP if is_own_group else forbidden):
        raise StorageUnusable(f"{path} is open to others (mode {mode:04o}): run `chmod 600 {path}`")


def read_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return the file's content, creating it (mode 0600) from `make` if there is none; of racing processes one wins.

    Raises:
        StorageUnusable: the file can be neither read nor created, or is open to others.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            return _read(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(path, make())
        return _read(path)
    except OSError as error:
        raise StorageUnusable(f"{path} can be neither read nor created: {error.strerror}") from error


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        check_private(path, os.fstat(file.fileno()))
        return file.read()


def _create(path: Path, content: bytes) -> None:
    """Write beside and link into place: readers see the whole content, and a file that is there already stays."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
