"""A vault of Azure's name that is served on this machine: clients resolve the name to the stand-in's port."""

import json
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from azure.core.pipeline.transport import AioHttpTransport
from libs.common.tests.azure.identity import Certificate, RecordingCredential, certify

from zekt_common.adapters.keyvault_master_key import VaultConnection
from zekt_sandbox import keyvault
from zekt_sandbox.keyvault.keys import Keys

HOST: Final = "zekt.vault.azure.net"
ELSEWHERE: Final = "zekt.vault.example"
URL: Final = f"https://{HOST}"
KEY: Final = "master"


def certify_vault(directory: Path) -> Certificate:
    return certify(directory, HOST, ELSEWHERE)


class ToStandIn(AbstractResolver):
    """Resolves any name to one port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        del port
        return [ResolveResult(hostname=host, host="127.0.0.1", port=self._port, family=family or 2, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class VaultProcess:
    """A stand-in that outlives event loops, with the key `KEY`."""

    port: int
    certificate: Path


@contextmanager
def vault_process(directory: Path) -> Iterator[VaultProcess]:
    """Run the stand-in as a process of its own."""
    made = certify_vault(directory)
    options = ["--port", "0", "--key", KEY, "--tls-cert", str(made.path), "--tls-key", str(made.key)]
    command = [sys.executable, "-m", "zekt_sandbox.keyvault", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603 - our own module
        assert process.stdout is not None
        try:
            yield VaultProcess(json.loads(process.stdout.readline())["port"], made.path)
        finally:
            process.terminate()


@asynccontextmanager
async def serving_vault(certificate: Certificate, keys: Keys | None = None) -> AsyncIterator[keyvault.KeyVaultSandbox]:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate.path, certificate.key)
    async with keyvault.serving(tls, keys=keys) as sandbox:
        yield sandbox


@asynccontextmanager
async def connected_to(
    port: int, certificate: Path, credential: RecordingCredential | None = None, *, url: str = URL
) -> AsyncIterator[VaultConnection]:
    """Enter with the connection that production would make, but for what the vault's name resolves to."""
    trust = ssl.create_default_context(cafile=certificate)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=ToStandIn(port), ssl=trust), trust_env=False
    ) as session:
        transport = AioHttpTransport(session=session, session_owner=False)
        yield VaultConnection(url=url, key=KEY, credential=credential or RecordingCredential(), transport=transport)
