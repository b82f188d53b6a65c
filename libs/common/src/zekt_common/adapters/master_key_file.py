"""The master key in a file: 32 random bytes for each generation, the newest last.

A generation's name is a hash of it, so every process that has the file, in whatever order it came by its generations,
calls them the same.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from zekt_common.adapters.key_wrapping import KEY_BYTES, Generation, WrongMasterKey
from zekt_common.auth.secret_file import OWNER_ALONE, check_private, read_or_create
from zekt_common.errors import StorageUnusable

NONCE_BYTES: Final = 12
NO_STRANGERS: Final = 0o037
"""What a file that is mounted into a container may not allow: its group, whichever it is there, may read."""


def ensure_key_file(path: Path) -> None:
    """Make a file with one generation (mode 0600) if there is none; of racing processes one wins.

    Raises:
        StorageUnusable: the file can be neither read nor created.
    """
    read_or_create(path, lambda: secrets.token_bytes(KEY_BYTES))


def check_key_file(path: Path, *, forbidden: int) -> None:
    """Pass if the file holds a key and gives none of the `forbidden` permissions.

    Raises:
        StorageUnusable: the message says what is wrong with it.
    """
    FileMasterKey(path, forbidden=forbidden).read()


class FileMasterKey:
    """AES-256-GCM under the last generation in the file, which is read again whenever it has changed.

    `forbidden` are the permissions that the file may not give to others than the process's own groups.
    """

    def __init__(self, path: Path, *, forbidden: int = OWNER_ALONE) -> None:
        self._path = path
        self._forbidden = forbidden
        self._seen: tuple[int, ...] = ()
        self._since = datetime.fromtimestamp(0, UTC)
        self._generations: Mapping[str, bytes] = {}

    async def wrap(self, secret: bytes, binding: bytes, /) -> tuple[str, bytes]:
        """Wrap under the last generation; see `MasterKey.wrap`. The nonce comes first."""
        name, key = list(self.read().items())[-1]
        nonce = secrets.token_bytes(NONCE_BYTES)
        return name, nonce + AESGCM(key).encrypt(nonce, secret, binding)

    async def unwrap(self, generation: str, wrapped: bytes, binding: bytes, /) -> bytes:
        """Unwrap under the generation of this name, or any if it has none; see `MasterKey.unwrap`."""
        held = self._generations if generation in self._generations else self.read()
        for key in held.values() if not generation else filter(None, [held.get(generation)]):
            with contextlib.suppress(InvalidTag):
                return AESGCM(key).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], binding)
        raise WrongMasterKey(f"generation {generation or 'unnamed'} in {self._path} does not open it")

    async def check(self) -> None:
        """Pass if the file is there, for nobody else, and holds a key; see `MasterKey.check`."""
        self.read()

    async def generations(self) -> Sequence[Generation]:
        """Return the file's generations, since it was last changed; see `MasterKey.generations`."""
        return [Generation(name, self._since) for name in self.read()]

    async def renew(self) -> None:
        """Put a new generation last; see `MasterKey.renew`."""
        self._change(lambda held: [*held.values(), secrets.token_bytes(KEY_BYTES)])

    async def retire(self, names: Collection[str], /) -> None:
        """Leave these out of the file; see `MasterKey.retire`."""
        self._change(lambda held: [key for name, key in held.items() if name not in names])

    def _change(self, change: Callable[[Mapping[str, bytes]], Sequence[bytes]]) -> None:
        with _translated(self._path), _locked(self._path.resolve()) as path:
            _replace(path, b"".join(change(self.read())))

    def read(self) -> Mapping[str, bytes]:
        """Return the generations by name, reading the file if it is another one than before.

        Raises:
            StorageUnusable: it cannot be read, is open to others, or holds no key.
        """
        with _translated(self._path), self._path.open("rb") as file:
            status = os.fstat(file.fileno())
            seen = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode, status.st_gid)
            if seen != self._seen:
                check_private(self._path, status, forbidden=self._forbidden)
                self._generations = _generations(self._path, file.read())
                self._since = datetime.fromtimestamp(status.st_mtime, UTC)
                self._seen = seen
        return self._generations


def _generations(path: Path, content: bytes) -> Mapping[str, bytes]:
    if not content or len(content) % KEY_BYTES:
        raise StorageUnusable(
            f"{path} does not hold a master key, {KEY_BYTES} bytes for each generation: restore it from a backup"
        )
    keys = [content[start : start + KEY_BYTES] for start in range(0, len(content), KEY_BYTES)]
    return {_name(key): key for key in keys}


def _name(key: bytes) -> str:
    return hashlib.sha256(b"zekt master key " + key).hexdigest()[:16]


def _replace(path: Path, content: bytes) -> None:
    """Write beside and rename, so that readers see all or nothing of it; owner and mode stay, and it is on the disk."""
    status = path.stat()
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_directory(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[Path]:
    """Let one process at a time change the file; the kernel frees a dead one's lock."""
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(descriptor)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageUnusable(f"the master key {path} cannot be used: {error.strerror}") from error
