"""Every secret that there was in a run of the suite: those it was given, made, kept and handed out."""

import base64
import binascii
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from tests.e2e.run_stores import RunStore
from tests.e2e.secret_scan import SHORTEST_BYTES
from zekt_common.clock import utc_now
from zekt_common.errors import KeyDestroyed
from zekt_identity.key_ring import KeyRing
from zekt_identity.sealing import Sealer
from zekt_sandbox import GitHubSandbox

OWN_FILES: Final = ("*.key", "*.key.*", "*.token")
"""The files of a data directory that are secrets themselves; their owner alone may read them."""
_LONG_RUN: Final = re.compile(rb"[A-Za-z0-9+/_=-]{32,}")


def own_files(data_dir: Path) -> list[Path]:
    """Return the files that hold a secret of the data directory as it is."""
    return sorted({path for pattern in OWN_FILES for path in data_dir.glob(pattern)})


async def kept_secrets(data_dir: Path, store: RunStore) -> dict[str, bytes]:
    """Return what the suite keeps: the data directory's files of secrets, data keys, and the keys of sessions."""
    found = {f"{path.name} {number}": part for path in own_files(data_dir) for number, part in enumerate(_parts(path))}
    async with store.open("identity") as backend:
        for account_id in store.accounts():
            try:
                found[f"data key {account_id}"] = (await backend.keys.data_key(account_id)).secret
            except KeyDestroyed:
                continue
        key = await KeyRing(backend.views, Sealer(backend.keys)).signing_key(utc_now())
    return found | {"session key": key.private.private_bytes_raw()} | store.secrets()


def given_secrets(sandbox: GitHubSandbox) -> dict[str, bytes]:
    """Return what GitHub and the suite know of each other: the App's secrets, and every token ever given out."""
    secrets = {"webhook secret": sandbox.webhook_secret.encode(), "client secret": sandbox.client_secret.encode()}
    secrets |= dict(_pem("the App's private key", sandbox.private_key_pem.encode()))
    tokens = enumerate(sorted(sandbox.credentials()))
    return secrets | {f"token of GitHub's {number} {token[:4]}": token.encode() for number, token in tokens}


def _parts(path: Path) -> Iterator[bytes]:
    """Yield the secrets of a file, whether it holds text, Base64, PEM or bytes."""
    content = path.read_bytes().strip()
    if not content.isascii():
        yield content
        return
    for run in _LONG_RUN.findall(content):
        if run.strip(b"-"):
            yield run
            yield from _decoded(run)


def _decoded(run: bytes) -> Iterator[bytes]:
    for decode in (bytes.fromhex, base64.urlsafe_b64decode):
        try:
            value = decode(run.decode())
        except (ValueError, binascii.Error):
            continue
        if len(value) >= SHORTEST_BYTES:
            yield value
            return


def _pem(name: str, pem: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a key line by line, as it is in its file, and as the bytes that the lines stand for."""
    for number, line in enumerate(pem.splitlines()):
        if len(line) >= SHORTEST_BYTES and not line.startswith(b"--"):
            yield f"{name}, line {number}", line
    key = load_pem_private_key(pem, password=None)
    yield name, key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())[-256:]
