"""Opening the engine that the settings choose."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from zekt_common.adapters.backend import Backend
from zekt_common.adapters.backend_settings import BackendSettings
from zekt_common.adapters.embedded import open_backend
from zekt_common.clock import Clock, utc_now


def open_configured_backend(
    settings: BackendSettings,
    data_dir: Path,
    service: str,
    *,
    clock: Clock = utc_now,
    writer_process: bool = False,
) -> AbstractAsyncContextManager[Backend]:
    """Open the service's ports on Azure, or below `data_dir`, with `writer_process` as `open_backend` knows them.

    Raises:
        StorageUnusable: the data directory or an endpoint cannot be used; the message says which setting leads there.
    """
    if settings.azure is None:
        return open_backend(data_dir, service, clock=clock, writer_process=writer_process)
    from zekt_common.adapters.azure_backend import open_azure_backend  # noqa: PLC0415 - SDKs that one machine never needs

    return open_azure_backend(settings.azure, settings.master_key, service, clock=clock)
