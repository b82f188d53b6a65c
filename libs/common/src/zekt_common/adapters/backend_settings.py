"""Which engine stands behind the ports."""

from dataclasses import dataclass, field
from typing import Final

from zekt_common.adapters.azure_settings import (
    BLOB_CONNECTION,
    BLOB_URL,
    COSMOS_ENDPOINT,
    SERVICEBUS_CONNECTION,
    SERVICEBUS_NAMESPACE,
    AzureSettings,
)
from zekt_common.kit.settings import EnvironmentReader

BACKEND: Final = "ZEKT_BACKEND"
MASTER_KEY_FILE: Final = "ZEKT_MASTER_KEY_FILE"
MASTER_KEY_BYTES: Final = 32
_ONLY_AZURE: Final = (SERVICEBUS_CONNECTION, SERVICEBUS_NAMESPACE, COSMOS_ENDPOINT, BLOB_CONNECTION, BLOB_URL)


@dataclass(frozen=True, kw_only=True)
class BackendSettings:
    """SQLite below the data directory, unless `azure` says where Azure's services are.

    There the master key wraps the data keys; every process must be given the same.
    """

    azure: AzureSettings | None = None
    master_key: bytes = field(default=b"", repr=False)

    @classmethod
    def read(cls, reader: EnvironmentReader) -> "BackendSettings":
        """Return the settings in the reader's environment; what is wrong with them stays with the reader."""
        backend = reader.optional(BACKEND)
        if backend == "azure":
            return cls(azure=AzureSettings.read(reader), master_key=_master_key(reader))
        if backend not in (None, "sqlite"):
            reader.reject(BACKEND, f"must be sqlite or azure, not {backend!r}")
        elif backend is None:
            _refuse_stray(reader)
        return cls()


def _refuse_stray(reader: EnvironmentReader) -> None:
    """Refuse to keep on this machine what somebody meant for Azure."""
    stray = [name for name in _ONLY_AZURE if reader.optional(name)]
    if stray:
        reader.reject(BACKEND, f"is not set in spite of {', '.join(stray)}: set it to azure or sqlite")


def _master_key(reader: EnvironmentReader) -> bytes:
    """Read the key from a file that must exist: one made by each process would lock the others out."""
    key = reader.file(MASTER_KEY_FILE)
    if key is not None and len(key) != MASTER_KEY_BYTES:
        reader.reject(MASTER_KEY_FILE, f"names a file that does not hold exactly {MASTER_KEY_BYTES} bytes")
    return key or b""


ON_THIS_MACHINE: Final = BackendSettings()
