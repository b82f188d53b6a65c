"""Data keys in use, so that neither the store nor the master key is asked for every payload."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from zekt_common.ports.keys import DataKey

FRESH_S: Final = 30.0
"""How long another process's `destroy` may go unnoticed."""
UNWRAPPED_S: Final = 600.0
"""How long the master key is not asked again for a key whose record is still there."""
CACHED_KEYS: Final = 4096


@dataclass(frozen=True)
class _Entry:
    key: DataKey
    read_at: float
    unwrapped_at: float


class KeyCache:
    """The keys used last, 4096 of them; only the account's own record says whether one is still good."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._entries: OrderedDict[int, _Entry] = OrderedDict()

    def fresh(self, account_id: int) -> DataKey | None:
        """Return the key if its record was read within the last 30 s."""
        entry = self._entries.get(account_id)
        return entry.key if entry and self._monotonic() - entry.read_at < FRESH_S else None

    def confirmed(self, account_id: int, key_id: str) -> DataKey | None:
        """Return the key that its record, read now, still names, if it was unwrapped within the last 10 min."""
        entry = self._entries.get(account_id)
        if entry is None or entry.key.id != key_id or self._monotonic() - entry.unwrapped_at >= UNWRAPPED_S:
            return None
        self._put(account_id, _Entry(entry.key, self._monotonic(), entry.unwrapped_at))
        return entry.key

    def put(self, account_id: int, key: DataKey) -> None:
        """Remember a key that was read and unwrapped now."""
        now = self._monotonic()
        self._put(account_id, _Entry(key, now, now))

    def forget(self, account_id: int) -> None:
        """Forget the key at once."""
        self._entries.pop(account_id, None)

    def _put(self, account_id: int, entry: _Entry) -> None:
        self._entries[account_id] = entry
        self._entries.move_to_end(account_id)
        if len(self._entries) > CACHED_KEYS:
            self._entries.popitem(last=False)
