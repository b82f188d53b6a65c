"""Where the Azure engine is and how it is entered. Nothing here needs Azure's packages."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from zekt_common.kit.settings import EnvironmentReader

SERVICEBUS_CONNECTION: Final = "ZEKT_SERVICEBUS_CONNECTION"
SERVICEBUS_NAMESPACE: Final = "ZEKT_SERVICEBUS_NAMESPACE"
COSMOS_ENDPOINT: Final = "ZEKT_COSMOS_ENDPOINT"
COSMOS_KEY: Final = "ZEKT_COSMOS_KEY"
COSMOS_KEYS_ENDPOINT: Final = "ZEKT_COSMOS_KEYS_ENDPOINT"
COSMOS_KEYS_KEY: Final = "ZEKT_COSMOS_KEYS_KEY"
COSMOS_DATABASE: Final = "ZEKT_COSMOS_DATABASE"
BLOB_CONNECTION: Final = "ZEKT_BLOB_CONNECTION"
BLOB_URL: Final = "ZEKT_BLOB_URL"
DATABASE: Final = "zekt"

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_DATABASE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,255}")


@dataclass(frozen=True, kw_only=True)
class AzureSettings:
    """The endpoints of the three services, each with a key or connection string of its own, or by Entra ID without.

    The data keys lie in the same Cosmos DB account as the rest, unless `cosmos_keys_endpoint` names another.
    """

    servicebus_connection: str = field(default="", repr=False)
    servicebus_namespace: str = ""
    cosmos_endpoint: str
    cosmos_key: str = field(default="", repr=False)
    cosmos_keys_endpoint: str = ""
    cosmos_keys_key: str = field(default="", repr=False)
    cosmos_database: str = DATABASE
    blob_connection: str = field(default="", repr=False)
    blob_url: str = ""

    @classmethod
    def read(cls, reader: EnvironmentReader) -> "AzureSettings":
        """Return the settings in the reader's environment; what is wrong with them stays with the reader."""
        servicebus_connection, servicebus_namespace = _one_of(reader, SERVICEBUS_CONNECTION, SERVICEBUS_NAMESPACE)
        blob_connection, blob_url = _one_of(reader, BLOB_CONNECTION, BLOB_URL)
        settings = cls(
            servicebus_connection=servicebus_connection,
            servicebus_namespace=servicebus_namespace,
            cosmos_endpoint=reader.secure_url(COSMOS_ENDPOINT),
            cosmos_key=reader.optional(COSMOS_KEY) or "",
            cosmos_keys_endpoint=reader.secure_url(COSMOS_KEYS_ENDPOINT, default=""),
            cosmos_keys_key=reader.optional(COSMOS_KEYS_KEY) or "",
            cosmos_database=reader.text(COSMOS_DATABASE, default=DATABASE),
            blob_connection=blob_connection,
            blob_url=blob_url,
        )
        _check_servicebus(reader, settings)
        _check_cosmos(reader, settings)
        _check_blob(reader, settings)
        return settings

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "AzureSettings":
        """Return the settings in `env`.

        Raises:
            SettingsError: it names every variable that is missing, unusable or in contradiction to another.
        """
        reader = EnvironmentReader(env)
        settings = cls.read(reader)
        reader.check()
        return settings

    @property
    def needs_identity(self) -> bool:
        """Whether a service is to be entered by Entra ID."""
        keys_need = bool(self.cosmos_keys_endpoint) and not self.cosmos_keys_key
        return keys_need or not (self.servicebus_connection and self.cosmos_key and self.blob_connection)


def _one_of(reader: EnvironmentReader, connection: str, address: str) -> tuple[str, str]:
    """Return the two variables, of which exactly one must be set."""
    with_key, without_key = reader.optional(connection) or "", reader.optional(address) or ""
    if with_key and without_key:
        reader.reject(connection, f"is set, and so is {address}: keep one of them")
    elif not with_key and not without_key:
        reader.reject(connection, f"is not set, nor is {address}: one of them is needed")
    return with_key, without_key


def _check_servicebus(reader: EnvironmentReader, settings: AzureSettings) -> None:
    """Look at both forms without quoting them: one holds a key."""
    namespace = settings.servicebus_namespace
    if namespace and not _HOST_NAME.fullmatch(namespace):
        reader.reject(SERVICEBUS_NAMESPACE, "must be a host name such as example.servicebus.windows.net")
    if not settings.servicebus_connection:
        return
    parts = _parts(settings.servicebus_connection)
    if not (parts.get("endpoint", "").startswith("sb://") and parts.get("sharedaccesskey")):
        reader.reject(SERVICEBUS_CONNECTION, "needs Endpoint=sb://..., SharedAccessKeyName and SharedAccessKey")
    if parts.get("usedevelopmentemulator", "true") != "true":
        reader.reject(SERVICEBUS_CONNECTION, "needs UseDevelopmentEmulator=true in lower case, or not at all")


def _check_cosmos(reader: EnvironmentReader, settings: AzureSettings) -> None:
    _check_account(reader, (COSMOS_ENDPOINT, settings.cosmos_endpoint), (COSMOS_KEY, settings.cosmos_key))
    apart = (COSMOS_KEYS_ENDPOINT, settings.cosmos_keys_endpoint), (COSMOS_KEYS_KEY, settings.cosmos_keys_key)
    _check_account(reader, *apart)
    if settings.cosmos_keys_key and not settings.cosmos_keys_endpoint:
        reader.reject(COSMOS_KEYS_KEY, f"is set, and {COSMOS_KEYS_ENDPOINT} is not: say which account it opens")
    if settings.cosmos_keys_endpoint and settings.cosmos_keys_endpoint == settings.cosmos_endpoint:
        reader.reject(COSMOS_KEYS_ENDPOINT, f"is the account of {COSMOS_ENDPOINT}: leave it out, or name another")
    if not _DATABASE_NAME.fullmatch(settings.cosmos_database):
        reader.reject(COSMOS_DATABASE, "must be a name of letters, digits, dots, dashes and underscores")


def _check_account(reader: EnvironmentReader, endpoint: tuple[str, str], key: tuple[str, str]) -> None:
    if key[1] and not _is_base64(key[1]):
        reader.reject(key[0], "is not a key in base64: copy it whole")
    if endpoint[1].startswith("http://") and not key[1]:
        reader.reject(endpoint[0], f"must be an https URL unless {key[0]} is set: tokens need TLS")


def _check_blob(reader: EnvironmentReader, settings: AzureSettings) -> None:
    """Look at both forms without quoting what may hold a key or a signature."""
    if settings.blob_url and any(mark in settings.blob_url for mark in "?@#"):
        reader.reject(BLOB_URL, f"must be the account's URL alone: what has a signature goes into {BLOB_CONNECTION}")
    elif settings.blob_url:
        url = reader.secure_url(BLOB_URL)
        if url.startswith("http://"):
            reader.reject(BLOB_URL, f"must be an https URL, since tokens need TLS: use {BLOB_CONNECTION} for a key")
    if settings.blob_connection and not _names_an_account(_parts(settings.blob_connection)):
        reader.reject(BLOB_CONNECTION, "needs AccountName and AccountKey, or BlobEndpoint and SharedAccessSignature")


def _names_an_account(parts: Mapping[str, str]) -> bool:
    by_key = parts.get("accountname") and parts.get("accountkey")
    by_signature = parts.get("blobendpoint") and parts.get("sharedaccesssignature")
    return bool(by_key or by_signature or parts.get("usedevelopmentstorage") == "true")


def _parts(connection_string: str) -> dict[str, str]:
    """Return what a connection string names, by lower-case names; none for something else."""
    pairs = [part.partition("=") for part in connection_string.strip("; ").split(";")]
    return {name.strip().lower(): value.strip() for name, equals, value in pairs if equals}


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except binascii.Error:
        return False
