"""Secrets of repositories' webhooks: derived from a master key and the repository's id, so that none is stored.

Identity places hooks with them, and ingress verifies by them what comes in.
"""

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from zekt_common.kit.settings import EnvironmentReader

MASTER_KEYS: Final = "ZEKT_WEBHOOK_MASTER_KEYS"
MIN_MASTER_KEY_BYTES: Final = 32
_LABEL: Final = b"zekt/webhook-secret/v1/"
_SECRET_BYTES: Final = 32


def repository_secret(master_key: bytes, repository_id: int) -> str:
    """Return the secret of a hook in this repository, 64 hex digits."""
    info = _LABEL + str(repository_id).encode()
    return HKDF(algorithm=SHA256(), length=_SECRET_BYTES, salt=None, info=info).derive(master_key).hex()


def read_master_keys(reader: EnvironmentReader) -> Mapping[int, bytes]:
    """Return the keys by generation, from pairs such as `1:9f86…`; all of them verify, the highest one places."""
    keys: dict[int, bytes] = {}
    for number, pair in enumerate(reader.texts(MASTER_KEYS), start=1):
        generation, _, text = pair.partition(":")
        key = _hex_bytes(text)
        if not (generation.isascii() and generation.isdigit()) or len(key) < MIN_MASTER_KEY_BYTES:
            reader.reject(MASTER_KEYS, f"needs <generation>:<64 or more hex digits> as its entry {number}")
            continue
        if int(generation) in keys:
            reader.reject(MASTER_KEYS, f"has two keys of generation {generation}")
        keys[int(generation)] = key
    return keys


def _hex_bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
