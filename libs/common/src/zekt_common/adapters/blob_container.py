"""The blob container of the payloads: bodies that carry their own expiry, changed only as last seen."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from azure.core import MatchConditions
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob.aio import ContainerClient, LinearRetry

from zekt_common.errors import BackendRefused, BackendUnavailable
from zekt_common.ports.payloads import RETENTION

CONTAINER: Final = "payloads"
LIFECYCLE_POLICY: Final = {
    "rules": [
        {
            "name": "delete-expired-payloads",
            "enabled": True,
            "type": "Lifecycle",
            "definition": {
                "filters": {"blobTypes": ["blockBlob"], "prefixMatch": [f"{CONTAINER}/"]},
                "actions": {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": RETENTION.days}}},
            },
        }
    ]
}
"""What the storage account deletes by itself, should nobody purge. Extending an expiry modifies the blob."""

CONNECTS_WITHIN_S: Final = 5
ANSWERS_WITHIN_S: Final = 30
RETRIES: Final = 3
BLOCK_BYTES: Final = 1024 * 1024
"""What is sent in one piece: more would hold up the event loop."""
_EXPIRES = "expires_at"
_REFUSED = (401, 403)
_CONFLICTS = (ResourceExistsError, ResourceModifiedError)


@dataclass(frozen=True, kw_only=True)
class BlobConnection:
    """A storage account by connection string, or by its URL and an Entra ID credential.

    `ca_file` holds the authorities to trust in place of the system's.
    """

    connection_string: str = field(default="", repr=False)
    url: str = ""
    credential: AsyncTokenCredential | None = field(default=None, repr=False)
    ca_file: str = ""

    @property
    def setting(self) -> str:
        """The setting that leads to this account."""
        return "ZEKT_BLOB_CONNECTION" if self.connection_string else "ZEKT_BLOB_URL"

    def container(self, name: str) -> ContainerClient:
        """Return a client, unconnected as yet."""
        options: dict[str, Any] = {
            "retry_policy": LinearRetry(backoff=1, retry_total=RETRIES, random_jitter_range=1),
            "connection_timeout": CONNECTS_WITHIN_S,
            "read_timeout": ANSWERS_WITHIN_S,
            "connection_verify": self.ca_file or True,
            "max_single_put_size": BLOCK_BYTES,
            "max_block_size": BLOCK_BYTES,
        }
        if self.connection_string:
            return ContainerClient.from_connection_string(self.connection_string, name, **options)
        return ContainerClient(self.url, name, credential=self.credential, **options)


@dataclass(frozen=True)
class StoredBlob:
    """A blob's name, its expiry in microseconds and the revision that was seen."""

    name: str
    expires_at: int
    etag: str


class BlobContainer:
    """The container, opened on a storage account; close it by leaving its `async with` block."""

    def __init__(self, connection: BlobConnection, *, name: str = CONTAINER) -> None:
        self._client = connection.container(name)
        self._setting = connection.setting

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def ensure(self) -> bool:
        """Create the container and return True, or False when it is there already."""
        with self._translated():
            try:
                await self._client.create_container()
            except ResourceExistsError as error:
                if _code(error) != "ContainerAlreadyExists":
                    raise
                return False
            return True

    async def exists(self) -> bool:
        """Return whether the container is there."""
        with self._translated():
            found: bool = await self._client.exists()
            return found

    async def check(self) -> None:
        """Pass if the container is there and may be read, asking once.

        Raises:
            BackendUnavailable: it is not, or the account cannot be reached.
        """
        with self._translated():
            await self._client.get_container_properties(retry_total=0)

    async def create(self, name: str, body: bytes, expires_at: int) -> bool:
        """Store the blob durably and return True, or False when there is one of this name already."""
        with self._translated():
            try:
                await self._client.upload_blob(name, body, metadata={_EXPIRES: str(expires_at)})
            except ResourceExistsError:
                return False
            return True

    async def find(self, name: str) -> StoredBlob | None:
        """Return what is known of the blob without its body."""
        with self._translated():
            try:
                found = await self._client.get_blob_client(name).get_blob_properties()
            except ResourceNotFoundError as error:
                _check_container(error)
                return None
            return StoredBlob(name, int(found.metadata[_EXPIRES]), str(found.etag))

    async def read(self, name: str) -> tuple[StoredBlob, bytes] | None:
        """Return the blob and its body."""
        with self._translated():
            try:
                stream = await self._client.download_blob(name)
                body: bytes = await stream.readall()
            except ResourceNotFoundError as error:
                _check_container(error)
                return None
            found = stream.properties
            return StoredBlob(name, int(found.metadata[_EXPIRES]), str(found.etag)), body

    async def extend(self, seen: StoredBlob, expires_at: int) -> bool:
        """Set the expiry and return True, or False when the blob has changed or gone since it was seen."""
        with self._translated():
            try:
                await self._client.get_blob_client(seen.name).set_blob_metadata(
                    {_EXPIRES: str(expires_at)}, etag=seen.etag, match_condition=MatchConditions.IfNotModified
                )
            except _CONFLICTS:
                return False
            except ResourceNotFoundError as error:
                _check_container(error)
                return False
            return True

    async def delete(self, seen: StoredBlob) -> bool:
        """Delete the blob and return True, or False when it has changed or gone since it was seen."""
        with self._translated():
            try:
                await self._client.delete_blob(seen.name, etag=seen.etag, match_condition=MatchConditions.IfNotModified)
            except _CONFLICTS:
                return False
            except ResourceNotFoundError as error:
                _check_container(error)
                return False
            return True

    async def listing(self) -> AsyncIterator[StoredBlob]:
        """Yield every blob that we stored, 5,000 a request."""
        with self._translated():
            async for found in self._client.list_blobs(include=["metadata"]):
                if found.metadata and _EXPIRES in found.metadata:
                    yield StoredBlob(found.name, int(found.metadata[_EXPIRES]), str(found.etag))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise `BackendUnavailable` for whatever the storage account or the way to it refuses.

        The vendor's own text may quote a signed URL, so it stays out.
        """
        try:
            yield
        except AzureError as error:
            where = f"{self._setting}: {self._client.primary_hostname}"
            raise _translation(error, where, self._client.container_name) from None


def _check_container(error: ResourceNotFoundError) -> None:
    """Raise again if it is the container that is absent, and not the blob alone."""
    if _code(error) == "ContainerNotFound":
        raise error


def _translation(error: AzureError, where: str, container: str) -> BackendUnavailable:
    if not isinstance(error, HttpResponseError) or error.status_code is None:
        return BackendUnavailable(f"{where} cannot be reached")
    answered = f"({error.status_code} {_code(error) or error.reason})"
    if isinstance(error, ResourceNotFoundError):
        return BackendUnavailable(f"{where} has no container {container} {answered}: run `zekt provision`")
    if error.status_code in _REFUSED:
        advice = "check the key, or the identity's role Storage Blob Data Contributor"
        return BackendRefused(f"{where} refuses us {answered}: {advice}")
    return BackendUnavailable(f"{where} does not serve us {answered}")


def _code(error: HttpResponseError) -> str:
    """Return the storage account's own code for the error; it is a fixed word."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")
