"""Opening a SQLite file: pragmas, migrations and the lock that lets processes take turns."""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from zekt_common.errors import StorageUnusable

CACHED_STATEMENTS = 512
APPLICATION_ID = 0x5A454B54  # "ZEKT"


def connect(path: Path, *, secure_delete: bool = False) -> sqlite3.Connection:
    """Return a connection in autocommit mode with the pragmas of every Zekt file; end it with `disconnect`."""
    with contextlib.closing(WriterLock(path)) as lock, lock:
        return _connect(path, secure_delete=secure_delete)


def disconnect(path: Path, connection: sqlite3.Connection) -> None:
    """Close the connection; the last one to go folds the log into the file, which nobody may meet half done."""
    with contextlib.closing(WriterLock(path)) as lock, lock:
        connection.close()


def _connect(path: Path, *, secure_delete: bool) -> sqlite3.Connection:
    _create_private(path)
    connection = sqlite3.connect(
        path, timeout=5.0, isolation_level=None, check_same_thread=False, cached_statements=CACHED_STATEMENTS
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        connection.execute("PRAGMA cache_size = -16384")
        connection.execute(f"PRAGMA secure_delete = {'ON' if secure_delete else 'OFF'}")
    except BaseException:
        connection.close()
        raise
    return connection


def _create_private(path: Path) -> None:
    """Make a new file its owner's alone, and with it its log; one that is open would be unlocked by closing it here."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    """Bring the file to the newest schema; `migrations[n]` leads to schema version n + 1.

    Raises:
        StorageUnusable: the file is somebody else's, or newer than this program.
    """
    with contextlib.closing(WriterLock(path)) as lock, lock:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
        if owner not in (0, APPLICATION_ID):
            raise StorageUnusable(f"{path} is not a Zekt database: move it away or choose another ZEKT_DATA_DIR")
        if version > len(migrations):
            raise StorageUnusable(
                f"{path} has schema version {version}, this program knows {len(migrations)}: run the newer Zekt"
            )
        for target, script in enumerate(migrations[version:], start=version + 1):
            connection.executescript(
                f"BEGIN IMMEDIATE; {script}; PRAGMA application_id = {APPLICATION_ID}; "
                f"PRAGMA user_version = {target}; COMMIT;"
            )


def sync_log(path: Path) -> None:
    """Have the disk take the file's log as it is, and with it every commit made so far.

    Raises:
        StorageUnusable: the disk failed.
    """
    with translated(path):
        log = os.open(path.with_name(path.name + "-wal"), os.O_RDONLY)
        try:
            os.fdatasync(log)
        finally:
            os.close(log)


class WriterLock:
    """The file's writer lock: the kernel queues the waiting and frees a dead holder's, where SQLite would poll."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)

    def __enter__(self) -> None:
        self.acquire(wait=True)

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self, *, wait: bool) -> bool:
        """Take the lock, and tell whether it is ours: without waiting it may be somebody else's."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let the next one have it."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give up the lock file."""
        os.close(self._file)


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's and the system's errors about `path` into the port's error."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StorageUnusable(f"{path}: {error}") from error
