"""Identity's public keys: what any service needs to tell a session that counts from one that does not."""

from datetime import datetime
from typing import Final

import msgspec

SESSION_AUDIENCE: Final = "zekt-session"
SESSION_ALGORITHM: Final = "EdDSA"
SESSION_KEYS_PATH: Final = "/internal/keys"
WANTED_KEY: Final = "kid"
"""The query parameter for the id of a key that the asker does not know, so that one made just now is not missed."""
LONGEST_KEY_ID: Final = 100


class PublicKey(msgspec.Struct, frozen=True, kw_only=True):
    """An Ed25519 public key as a JSON Web Key; `x` is base64url without padding."""

    kid: str
    x: str
    kty: str = "OKP"
    crv: str = "Ed25519"
    alg: str = SESSION_ALGORITHM
    use: str = "sig"


class SessionKeySet(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON Web Key set, with what was signed under it and counts no more.

    `ended_sessions` are ids of sessions; `ended_accounts` says for an account until when its sessions began that ended.
    """

    keys: list[PublicKey]
    ended_sessions: frozenset[str] = frozenset()
    ended_accounts: dict[int, datetime] = {}
