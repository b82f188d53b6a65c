"""Opening the engine that a service's settings choose."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from zekt_common.adapters.backend import Backend, Share
from zekt_common.adapters.backend_settings import BackendSettings
from zekt_common.adapters.embedded import open_backend
from zekt_common.clock import Clock, utc_now
from zekt_common.kit.settings import HostSettings
from zekt_common.stored_schemas import Versions


class EngineSettings(Protocol):
    """What of a service's settings the engine needs."""

    @property
    def host(self) -> HostSettings:
        """Where the data directory is, and whether another process commits."""
        ...

    @property
    def backend(self) -> BackendSettings:
        """Which engine it is."""
        ...


def open_configured_backend(
    settings: EngineSettings,
    service: str,
    *,
    clock: Clock = utc_now,
    read: Versions | None = None,
    share: Share = "all",
) -> AbstractAsyncContextManager[Backend]:
    """Open the service's ports on Azure, or on SQLite below the data directory.

    `read` are the events that the service stores and reads. On Azure `zekt provision` has asked whether it can, for all
    services at once.

    Raises:
        StorageUnusable: the data directory or an endpoint cannot be used, or what is stored cannot be read; the message
            says which setting or file it is.
    """
    host, azure, master_key = settings.host, settings.backend.azure, settings.backend.master_key
    if azure is None:
        return open_backend(
            host.data_dir, service, master_key=master_key, clock=clock, writer_process=host.writer_process, read=read
        )
    from zekt_common.adapters.azure_backend import open_azure_backend  # noqa: PLC0415 - SDKs that one machine never needs

    return open_azure_backend(azure, master_key, service, clock=clock, share=share)
