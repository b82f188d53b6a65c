"""What is personal or secret, as ciphertext under a data key: readable until that key is destroyed."""

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from zekt_common.errors import ZektError
from zekt_common.ports import Keys

OWN_KEY: Final = -1
"""The number of the data key for what identity keeps for itself; no account's has it."""
_NONCE_BYTES: Final = 12


class SealBroken(ZektError):
    """The ciphertext was not made under this key for this purpose, or it is damaged."""


class Sealer:
    """AES-256-GCM; `purpose` is authenticated, so that nothing sealed for one can be passed off as another."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def seal(self, key: int, purpose: str, content: bytes) -> bytes:
        """Return the content encrypted under the data key of this number.

        Raises:
            KeyDestroyed: that key was destroyed.
        """
        secret = (await self._keys.data_key(key)).secret
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(secret).encrypt(nonce, content, _context(key, purpose))

    async def open(self, key: int, purpose: str, sealed: bytes) -> bytes:
        """Return the content.

        Raises:
            KeyDestroyed: that key was destroyed, and the content with it.
            SealBroken: it was sealed otherwise, or is damaged.
        """
        secret = (await self._keys.data_key(key)).secret
        try:
            return AESGCM(secret).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _context(key, purpose))
        except (InvalidTag, ValueError):
            raise SealBroken("the ciphertext does not fit its key and purpose") from None

    async def erase(self, key: int) -> None:
        """Destroy the data key of this number, and with it whatever was sealed under it; a repeat changes nothing."""
        await self._keys.destroy(key)


def _context(key: int, purpose: str) -> bytes:
    return f"zekt {purpose} {key}".encode()
