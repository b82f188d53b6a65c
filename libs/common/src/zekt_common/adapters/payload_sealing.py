"""How payloads rest: compressed, then encrypted under the account's data key and bound to their place."""

import pickle
import secrets
import threading

import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
COMPRESSION_LEVEL = 1

_of_thread = threading.local()


def seal(content: bytes | pickle.PickleBuffer, secret: bytes, account_id: int, sha256: str) -> bytes:
    """Return `content` as it is stored; the nonce comes first."""
    if not hasattr(_of_thread, "compressor"):
        _of_thread.compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL)
    nonce = secrets.token_bytes(NONCE_BYTES)
    compressed: bytes = _of_thread.compressor.compress(content)
    return nonce + AESGCM(secret).encrypt(nonce, compressed, _place(account_id, sha256))


def unseal(body: bytes, secret: bytes, account_id: int, sha256: str) -> bytes:
    """Return what was sealed.

    Raises:
        InvalidTag: the body was damaged, moved from another place, or sealed under another key.
    """
    compressed = AESGCM(secret).decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], _place(account_id, sha256))
    return zstandard.ZstdDecompressor().decompress(compressed)


def _place(account_id: int, sha256: str) -> bytes:
    return f"zekt payload {account_id} {sha256}".encode()
