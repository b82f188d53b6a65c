"""The ways in which a process proves to Entra ID which application it is; one is chosen, and no other is tried."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from zekt_common.kit.settings import EnvironmentReader

CREDENTIAL: Final = "ZEKT_ENTRA_CREDENTIAL"
CLIENT_SECRET: Final = "ZEKT_ENTRA_CLIENT_SECRET"  # noqa: S105 - a setting's name
CLIENT_SECRET_FILE: Final = "ZEKT_ENTRA_CLIENT_SECRET_FILE"  # noqa: S105 - a setting's name
FEDERATED_TOKEN_FILE: Final = "AZURE_FEDERATED_TOKEN_FILE"  # noqa: S105 - the name that Azure's webhook gives it


@dataclass(frozen=True)
class WorkloadIdentity:
    """The token that Kubernetes projects into the pod, in a file that is replaced before it expires."""

    token_file: Path


@dataclass(frozen=True)
class ManagedIdentity:
    """The machine's own identity, asked for at the endpoint that Azure gives it."""


@dataclass(frozen=True)
class ClientSecret:
    """A secret of the application's registration."""

    value: str = field(repr=False)


EntraCredential: TypeAlias = WorkloadIdentity | ManagedIdentity | ClientSecret


def read_credential(reader: EnvironmentReader) -> EntraCredential:
    """Return the credential in the reader's environment; what is wrong with it stays with the reader."""
    kind = reader.text(CREDENTIAL, default="workload-identity")
    if kind == "client-secret":
        return _client_secret(reader)
    _refuse_stray_secret(reader, kind)
    if kind == "workload-identity":
        return _workload_identity(reader)
    if kind != "managed-identity":
        reader.reject(CREDENTIAL, f"must be workload-identity, managed-identity or client-secret, not {kind!r}")
    return ManagedIdentity()


def _refuse_stray_secret(reader: EnvironmentReader, kind: str) -> None:
    for name in (CLIENT_SECRET, CLIENT_SECRET_FILE):
        if reader.optional(name):
            reader.reject(name, f"is set, though {CREDENTIAL} is {kind}: set that to client-secret, or unset this")


def _workload_identity(reader: EnvironmentReader) -> WorkloadIdentity:
    if reader.optional(FEDERATED_TOKEN_FILE) is None:
        hint = f"let workload identity into the pod, or set {CREDENTIAL} to managed-identity or client-secret"
        reader.reject(FEDERATED_TOKEN_FILE, f"is not set, though {CREDENTIAL} is workload-identity: {hint}")
        return WorkloadIdentity(Path())
    reader.file(FEDERATED_TOKEN_FILE)
    return WorkloadIdentity(reader.path(FEDERATED_TOKEN_FILE))


def _client_secret(reader: EnvironmentReader) -> ClientSecret:
    value, file = reader.optional(CLIENT_SECRET), reader.optional(CLIENT_SECRET_FILE)
    if value and file:
        reader.reject(CLIENT_SECRET, f"is set, and so is {CLIENT_SECRET_FILE}: keep one of them")
    elif not value and not file:
        reader.reject(CLIENT_SECRET, f"is not set, nor is {CLIENT_SECRET_FILE}: {CREDENTIAL} needs one of them")
    return ClientSecret(value or _secret_in_file(reader))


def _secret_in_file(reader: EnvironmentReader) -> str:
    if reader.optional(CLIENT_SECRET_FILE) is None:
        return ""
    content = reader.file(CLIENT_SECRET_FILE)
    secret = (content or b"").decode(errors="replace").strip()
    if content is not None and not secret:
        reader.reject(CLIENT_SECRET_FILE, "names a file that is empty")
    return secret
