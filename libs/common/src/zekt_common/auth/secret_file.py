"""Secrets of the data directory: made once by whoever comes first, readable by their owner alone."""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from zekt_common.errors import StorageUnusable


def read_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return the file's content, creating it (mode 0600) from `make` if there is none; of racing processes one wins.

    Raises:
        StorageUnusable: the file can be neither read nor created.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(path, make())
        return path.read_bytes()
    except OSError as error:
        raise StorageUnusable(f"{path} can be neither read nor created: {error.strerror}") from error


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
