"""Tokens whose signatures were found good: a service that asks often with the same one is not verified anew each time.

Only what cannot change is remembered. Whether the key is still the issuer's, the times and the roles are judged anew.
"""

import hashlib
from collections import OrderedDict
from typing import Any, Final

import msgspec

REMEMBERED: Final = 1000


class Verified(msgspec.Struct, frozen=True):
    """What a token says, and the key that proved it."""

    key_id: str | None
    key: Any
    claims: dict[str, Any]


class VerifiedTokens:
    """Remembers the tokens used last, by their hash; a token itself is never kept."""

    def __init__(self, *, capacity: int = REMEMBERED) -> None:
        self._capacity = capacity
        self._verified: OrderedDict[bytes, Verified] = OrderedDict()

    def get(self, token: str) -> Verified | None:
        """Return what was found out about the token, None if that is not remembered."""
        digest = _digest(token)
        verified = self._verified.get(digest)
        if verified is not None:
            self._verified.move_to_end(digest)
        return verified

    def keep(self, token: str, verified: Verified) -> None:
        """Remember a token that was verified just now."""
        self._verified[_digest(token)] = verified
        if len(self._verified) > self._capacity:
            self._verified.popitem(last=False)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
