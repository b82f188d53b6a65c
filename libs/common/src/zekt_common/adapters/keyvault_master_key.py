"""The master key in Azure Key Vault: an RSA key whose private half never leaves it.

A generation is a version of the key, named by its whole identifier. Wrapping takes the public half alone and is done
here; unwrapping is asked of the vault.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from azure.core.credentials_async import AsyncTokenCredential
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.identity.aio import DefaultAzureCredential
from azure.keyvault.keys.aio import KeyClient
from azure.keyvault.keys.crypto import KeyWrapAlgorithm
from azure.keyvault.keys.crypto.aio import CryptographyClient

from zekt_common.adapters.key_wrapping import Generation, WrongMasterKey
from zekt_common.adapters.keyvault_errors import VaultRefused, translated
from zekt_common.adapters.master_key_settings import DEFAULT_VAULT_KEY, KEYVAULT_URL
from zekt_common.adapters.sharing import shared
from zekt_common.errors import BackendUnavailable

ALGORITHM: Final = KeyWrapAlgorithm.rsa_oaep_256
ANSWERS_WITHIN_S: Final = 10.0
CONNECTS_WITHIN_S: Final = 4
NEWEST_KNOWN_S: Final = 30.0
"""How long a new version of the key may go unnoticed; the one before still wraps until then."""
WORKED_S: Final = 30.0
"""How long the vault counts as usable after it has answered."""
RETRIES: Final = {"retry_total": 4, "retry_backoff_factor": 0.2, "retry_backoff_max": 2}
REPEATABLE: Final = {"retry_on_methods": frozenset({"GET", "POST"})}
"""A repeated unwrapping does no harm, so it is tried again even if the connection broke."""
_DIGEST_BYTES: Final = 32


@dataclass(frozen=True, kw_only=True)
class VaultConnection:
    """The way to a key: by Entra ID alone, with `DefaultAzureCredential` unless another credential is given."""

    url: str
    key: str = DEFAULT_VAULT_KEY
    credential: AsyncTokenCredential | None = field(default=None, repr=False)
    transport: AsyncHttpTransport[Any, Any] | None = field(default=None, repr=False)


@asynccontextmanager
async def open_vault_key(connection: VaultConnection) -> AsyncIterator["KeyVaultMasterKey"]:
    """Open the key, sharing the client with everybody in this loop who opened the same; it must wrap and unwrap.

    Raises:
        BackendUnavailable: the vault cannot be reached, refuses us, or has no such key.
    """
    async with shared(connection, lambda: _opened(connection)) as key:
        yield key


@asynccontextmanager
async def _opened(connection: VaultConnection) -> AsyncIterator["KeyVaultMasterKey"]:
    async with AsyncExitStack() as stack:
        credential = connection.credential or await _own_identity(stack)
        transport = {"transport": connection.transport} if connection.transport else {}
        options = {**RETRIES, **transport, "connection_timeout": CONNECTS_WITHIN_S, "read_timeout": ANSWERS_WITHIN_S}
        client = await stack.enter_async_context(KeyClient(connection.url, credential, **options))
        key = KeyVaultMasterKey(client, connection.key)
        await key.prove()
        yield key


async def _own_identity(stack: AsyncExitStack) -> AsyncTokenCredential:
    identity = DefaultAzureCredential()
    await stack.enter_async_context(identity)
    return identity


class KeyVaultMasterKey:
    """RSA-OAEP-256. What is bound to a key is wrapped beside it, as a hash, since OAEP vouches for nothing else."""

    def __init__(self, client: KeyClient, name: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.client = client
        self._name = name
        self._monotonic = monotonic
        self._newest: tuple[str, CryptographyClient] | None = None
        self._newest_until = 0.0
        self._clients: dict[str, CryptographyClient] = {}
        self._worked_until = 0.0

    async def wrap(self, secret: bytes, binding: bytes, /) -> tuple[str, bytes]:
        """Wrap under the newest version of the key; see `MasterKey.wrap`."""
        async with self._asking():
            name, newest = await self._newest_version()
            wrapped = await newest.wrap_key(ALGORITHM, _digest(binding) + secret)
        return name, wrapped.encrypted_key

    async def unwrap(self, generation: str, wrapped: bytes, binding: bytes, /) -> bytes:
        """Have the vault unwrap it; see `MasterKey.unwrap`. No other vault is asked, whatever the generation says."""
        version = self._version_of(generation)
        try:
            async with self._asking():
                client = self._clients.get(version) or self.client.get_cryptography_client(
                    self._name, key_version=version
                )
                opened = (await client.unwrap_key(ALGORITHM, wrapped, **REPEATABLE)).key
                self._clients[version] = client
        except VaultRefused as refused:
            raise WrongMasterKey(f"{generation} does not open it, status {refused.status}") from None
        if not hmac.compare_digest(opened[:_DIGEST_BYTES], _digest(binding)):
            raise WrongMasterKey(f"{generation} opens it for another account")
        return opened[_DIGEST_BYTES:]

    async def check(self) -> None:
        """Pass if the vault has answered within the last 30 s, or does now; see `MasterKey.check`."""
        if self._monotonic() >= self._worked_until:
            async with self._asking():
                await self.client.get_key(self._name)

    async def prove(self) -> None:
        """Pass if the key can be read, wraps and unwraps.

        Raises:
            BackendUnavailable: it cannot; the message says what is missing.
        """
        try:
            generation, wrapped = await self.wrap(b"probe", b"probe")
        except VaultRefused as refused:
            wanted = f"an RSA key called {self._name}"
            raise BackendUnavailable(f"{KEYVAULT_URL}: the vault needs {wanted} ({refused.status})") from None
        await self.unwrap(generation, wrapped, b"probe")

    async def generations(self) -> Sequence[Generation]:
        """Return the versions that are enabled, the newest last; see `MasterKey.generations`."""
        async with self._asking():
            newest = await self.client.get_key(self._name)
            listed = self.client.list_properties_of_key_versions(self._name)
            found = [
                Generation(each.id, each.created_on)
                async for each in listed
                if each.id and each.created_on and each.enabled
            ]
        if self._newest is not None and self._newest[0] != newest.id:
            self._newest = None  # the vault has made a version by itself
        return sorted(found, key=lambda each: (each.name == newest.id, each.since))

    async def renew(self) -> None:
        """Have the vault make a new version of the key; see `MasterKey.renew`."""
        async with self._asking():
            await self.client.rotate_key(self._name)
        self._newest = None

    async def retire(self, names: Collection[str], /) -> None:
        """Disable these versions, which can be undone in the vault; see `MasterKey.retire`."""
        for name in names:
            async with self._asking():
                await self.client.update_key_properties(self._name, self._version_of(name), enabled=False)

    async def _newest_version(self) -> tuple[str, CryptographyClient]:
        if self._newest is None or self._monotonic() >= self._newest_until:
            key = await self.client.get_key(self._name)
            client = self.client.get_cryptography_client(self._name, key_version=key.properties.version)
            self._newest = str(key.id), client
            self._newest_until = self._monotonic() + NEWEST_KNOWN_S
        return self._newest

    def _version_of(self, generation: str) -> str:
        """Return the version that a generation's name ends with; the vault may have moved, its versions stay."""
        match urlsplit(generation).path.split("/"):
            case ["", "keys", self._name, version] if version:
                return version
        raise WrongMasterKey(f"generation {generation or 'unnamed'} is none of the key {self._name} in {KEYVAULT_URL}")

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        """Turn what goes wrong into our errors, and note when nothing did.

        Raises:
            StorageUnusable: the vault did not do what was asked; see `translated`.
        """
        with translated():
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                yield
        self._worked_until = self._monotonic() + WORKED_S


def _digest(binding: bytes) -> bytes:
    return hashlib.sha256(binding).digest()
