"""Which Entra ID tenant vouches for services, and which of its applications this process is."""

import re
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from zekt_common.auth.entra_credential import (
    CLIENT_SECRET,
    CLIENT_SECRET_FILE,
    CREDENTIAL,
    EntraCredential,
    read_credential,
)
from zekt_common.kit.settings import EnvironmentReader

TENANT_ID: Final = "ZEKT_ENTRA_TENANT_ID"
CLIENT_ID: Final = "ZEKT_ENTRA_CLIENT_ID"
AUDIENCE: Final = "ZEKT_ENTRA_AUDIENCE"
AUTHORITY: Final = "ZEKT_ENTRA_AUTHORITY"
CA_FILE: Final = "ZEKT_ENTRA_CA_FILE"
PUBLIC_CLOUD: Final = "https://login.microsoftonline.com"

_ALL: Final = (TENANT_ID, CLIENT_ID, AUDIENCE, AUTHORITY, CA_FILE, CREDENTIAL, CLIENT_SECRET, CLIENT_SECRET_FILE)
_API: Final = "api://"
_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class EntraTenant:
    """The tenant that issues service tokens, and the API that they are for: identity's."""

    tenant_id: str
    audience: str
    authority: str = PUBLIC_CLOUD
    ca_file: str | None = None

    @classmethod
    def read(cls, reader: EnvironmentReader) -> "EntraTenant | None":
        """Return the settings in the reader's environment, None when there is none of Entra ID's."""
        if not any(reader.optional(name) for name in _ALL):
            return None
        return cls(
            tenant_id=_guid(reader, TENANT_ID),
            audience=_audience(reader),
            authority=_authority(reader),
            ca_file=_ca_file(reader),
        )

    @property
    def issuer(self) -> str:
        """The `iss` of a token of version 2.0, and where the tenant's discovery document is."""
        return f"{self.authority}/{self.tenant_id}/v2.0"

    @property
    def v1_issuer(self) -> str:
        """The `iss` of a token of version 1.0, which all clouds but China's have in common."""
        host = "sts.chinacloudapi.cn" if self.authority.endswith(".cn") else "sts.windows.net"
        return f"https://{host}/{self.tenant_id}/"

    @property
    def audiences(self) -> frozenset[str]:
        """The API's application id with and without `api://`: which one a token says depends on its version."""
        application_id = self.audience.removeprefix(_API)
        return frozenset({application_id, f"{_API}{application_id}"})


@dataclass(frozen=True, kw_only=True)
class EntraClient:
    """The application that this process is, and how it proves it."""

    tenant: EntraTenant
    client_id: str
    credential: EntraCredential

    @classmethod
    def read(cls, reader: EnvironmentReader) -> "EntraClient | None":
        """Return the settings in the reader's environment, None when there is none of Entra ID's."""
        tenant = EntraTenant.read(reader)
        if tenant is None:
            return None
        return cls(tenant=tenant, client_id=_guid(reader, CLIENT_ID), credential=read_credential(reader))


def _guid(reader: EnvironmentReader, name: str) -> str:
    value = _needed(reader, name)
    if value and not _GUID.fullmatch(value):
        reader.reject(name, f"must be an id such as 00000000-0000-0000-0000-000000000000, not {value!r}")
    return value


def _audience(reader: EnvironmentReader) -> str:
    """Take the application id alone: tokens of version 2.0 name the API by nothing else."""
    value = _needed(reader, AUDIENCE)
    if value and not _GUID.fullmatch(value.removeprefix(_API)):
        reader.reject(AUDIENCE, f"must be the application id of identity's API, or api:// and that id, not {value!r}")
    return value


def _needed(reader: EnvironmentReader, name: str) -> str:
    """Return an id in lower case, as tokens write it."""
    value = reader.optional(name)
    if value is None:
        present = next(other for other in _ALL if reader.optional(other))
        reader.reject(
            name, f"is not set, though {present} is: set both, or nothing of Entra ID for this machine's issuer"
        )
    return (value or "").lower()


def _authority(reader: EnvironmentReader) -> str:
    value = reader.url(AUTHORITY, default=PUBLIC_CLOUD)
    parts = urlsplit(value)
    if value.startswith("http") and (parts.scheme != "https" or parts.path):
        reader.reject(AUTHORITY, f"must be https:// and a host, without the tenant, not {value!r}")
    return value


def _ca_file(reader: EnvironmentReader) -> str | None:
    if reader.optional(CA_FILE) is None or reader.file(CA_FILE) is None:
        return None
    path = str(reader.path(CA_FILE))
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        reader.reject(CA_FILE, f"names {path}, which holds no certificate in PEM form")
    return path
