"""Which engine stands behind the ports."""

from dataclasses import dataclass
from typing import Final

from zekt_common.adapters.azure_settings import (
    BLOB_CONNECTION,
    BLOB_URL,
    COSMOS_ENDPOINT,
    SERVICEBUS_CONNECTION,
    SERVICEBUS_NAMESPACE,
    AzureSettings,
)
from zekt_common.adapters.master_key_settings import IN_DATA_DIRECTORY, MasterKeySettings
from zekt_common.kit.settings import EnvironmentReader

BACKEND: Final = "ZEKT_BACKEND"
_ONLY_AZURE: Final = (SERVICEBUS_CONNECTION, SERVICEBUS_NAMESPACE, COSMOS_ENDPOINT, BLOB_CONNECTION, BLOB_URL)


@dataclass(frozen=True, kw_only=True)
class BackendSettings:
    """SQLite below the data directory, unless `azure` says where Azure's services are.

    The master key wraps the data keys; every process must be given the same.
    """

    azure: AzureSettings | None = None
    master_key: MasterKeySettings = IN_DATA_DIRECTORY

    @classmethod
    def read(cls, reader: EnvironmentReader) -> "BackendSettings":
        """Return the settings in the reader's environment; what is wrong with them stays with the reader."""
        backend = reader.optional(BACKEND)
        if backend == "azure":
            return cls(azure=AzureSettings.read(reader), master_key=MasterKeySettings.read(reader, shared=True))
        if backend not in (None, "sqlite"):
            reader.reject(BACKEND, f"must be sqlite or azure, not {backend!r}")
        elif backend is None:
            _refuse_stray(reader)
        return cls(master_key=MasterKeySettings.read(reader, shared=False))


def _refuse_stray(reader: EnvironmentReader) -> None:
    """Refuse to keep on this machine what somebody meant for Azure."""
    stray = [name for name in _ONLY_AZURE if reader.optional(name)]
    if stray:
        reader.reject(BACKEND, f"is not set in spite of {', '.join(stray)}: set it to azure or sqlite")


ON_THIS_MACHINE: Final = BackendSettings()
