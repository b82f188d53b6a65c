"""How data keys rest, and how long they are remembered: wrapped under the master key and bound to their account."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from zekt_common.errors import KeyDestroyed, StorageUnusable
from zekt_common.ports.keys import DataKey

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
CACHE_S: Final = 30.0
CACHED_KEYS: Final = 4096


class KeyWrapping:
    """Wraps and unwraps data keys; `place` names in errors what they are stored in."""

    def __init__(self, master_key: bytes, place: str) -> None:
        self._master = AESGCM(master_key)
        self._place = place

    def new(self, account_id: int) -> tuple[str, bytes]:
        """Return the id of a new key and the key, wrapped; the nonce comes first."""
        key_id, nonce = secrets.token_hex(8), secrets.token_bytes(NONCE_BYTES)
        secret = secrets.token_bytes(KEY_BYTES)
        return key_id, nonce + self._master.encrypt(nonce, secret, _bound_to(account_id, key_id))

    def unwrap(self, account_id: int, key_id: str, stored: bytes) -> DataKey:
        """Return the key; one that was destroyed has an empty id.

        Raises:
            KeyDestroyed: it was destroyed.
            StorageUnusable: it was wrapped under another master key.
        """
        if not key_id:
            raise KeyDestroyed(f"the data key of account {account_id} was destroyed")
        nonce, wrapped = stored[:NONCE_BYTES], stored[NONCE_BYTES:]
        try:
            return DataKey(key_id, self._master.decrypt(nonce, wrapped, _bound_to(account_id, key_id)))
        except InvalidTag:
            reason = f"{self._place} was written under another master key: restore that key's file"
            raise StorageUnusable(reason) from None


class KeyCache:
    """Keys in use, for 30 s each: that is how long another process's `destroy` may go unnoticed."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._keys: OrderedDict[int, tuple[float, DataKey]] = OrderedDict()

    def get(self, account_id: int) -> DataKey | None:
        """Return the key if it was put within the last 30 s."""
        cached = self._keys.get(account_id)
        return cached[1] if cached and self._monotonic() - cached[0] < CACHE_S else None

    def put(self, account_id: int, key: DataKey) -> None:
        """Remember the key, and forget the one put longest ago when there are too many."""
        self._keys[account_id] = (self._monotonic(), key)
        self._keys.move_to_end(account_id)
        if len(self._keys) > CACHED_KEYS:
            self._keys.popitem(last=False)

    def forget(self, account_id: int) -> None:
        """Forget the key at once."""
        self._keys.pop(account_id, None)


def _bound_to(account_id: int, key_id: str) -> bytes:
    return f"zekt data key {account_id} {key_id}".encode()
