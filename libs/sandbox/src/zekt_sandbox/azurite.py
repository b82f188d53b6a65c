"""Azurite, the official Blob Storage emulator, run from `tools/azurite` with its data in memory.

For tests and local trials: it needs Node, and whoever starts it takes it along when it ends.
"""

import base64
import os
import re
import secrets
import selectors
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

ACCOUNT: Final = "zekt"
HOME: Final = Path(__file__).parents[4] / "tools" / "azurite"
STARTS_WITHIN_S: Final = 30.0
ENDS_WITHIN_S: Final = 5.0
_KEY_BYTES: Final = 64
_LISTENS: Final = re.compile(rb"successfully listens on (https?://127\.0\.0\.1:\d+)")
_MAIN: Final = Path("node_modules/azurite/dist/src/blob/main.js")


class AzuriteUnavailable(Exception):
    """Azurite cannot be run here; the message says what to do."""


@dataclass(frozen=True)
class Azurite:
    """A running Azurite: the account's URL and its key."""

    url: str
    key: str = field(repr=False)

    @property
    def connection_string(self) -> str:
        """What clients with the key connect by."""
        scheme = self.url.partition(":")[0]
        return f"DefaultEndpointsProtocol={scheme};AccountName={ACCOUNT};AccountKey={self.key};BlobEndpoint={self.url};"


@contextmanager
def running(*, port: int = 0, tls: tuple[Path, Path] | None = None) -> Iterator[Azurite]:
    """Run Azurite on `port` (0: a free one) until the block ends.

    With `tls`, a certificate and its key, it also takes Entra ID tokens; it checks their claims, not who signed them.

    Raises:
        AzuriteUnavailable: Node or Azurite is not installed, or it does not start.
    """
    node = shutil.which("node")
    if node is None:
        raise AzuriteUnavailable("Node is not installed: it runs Azurite, the Blob Storage emulator")
    if not (HOME / _MAIN).exists():
        raise AzuriteUnavailable("Azurite is not installed: `make azurite` installs it")
    key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
    process = subprocess.Popen(  # noqa: S603 - Node and the emulator as installed from the lock file
        [node, "--require", "./tethered.cjs", str(_MAIN), *_options(port, tls)],
        cwd=HOME,
        env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    with process:
        try:
            yield Azurite(f"{_address(process)}/{ACCOUNT}", key)
        finally:
            _end(process)


def _options(port: int, tls: tuple[Path, Path] | None) -> Sequence[str]:
    options = ["--blobPort", str(port), "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
    if tls:
        options += ["--cert", str(tls[0]), "--key", str(tls[1]), "--oauth", "basic"]
    return [*options, "--silent"]


def _address(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None  # noqa: S101 - it was opened as a pipe
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(STARTS_WITHIN_S) and (more := _available(process.stdout)):
            said += more
            if listens := _LISTENS.search(said):
                return listens[1].decode()
    last = said.decode(errors="replace").strip().splitlines()
    raise AzuriteUnavailable(f"Azurite did not start: {last[-1] if last else 'it said nothing'}")


def _available(pipe: IO[bytes]) -> bytes:
    return os.read(pipe.fileno(), 4096)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe, which ends it at once; told to terminate, it would wait for its clients' idle connections."""
    assert process.stdin is not None  # noqa: S101 - it was opened as a pipe
    process.stdin.close()
    try:
        process.wait(ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
