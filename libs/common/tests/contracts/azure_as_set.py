"""The whole Azure engine as a service opens it, for the tests' processes and for those that they start."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from zekt_common.adapters.azure_backend import open_azure_backend
from zekt_common.adapters.backend import Backend
from zekt_common.adapters.backend_settings import BackendSettings
from zekt_common.clock import Clock, utc_now
from zekt_common.kit.settings import EnvironmentReader

SERVICE = "ingress"


def open_as_set(environment: Mapping[str, str], clock: Clock = utc_now) -> AbstractAsyncContextManager[Backend]:
    """Open the engine that the environment leads to."""
    reader = EnvironmentReader(environment)
    settings = BackendSettings.read(reader)
    reader.check()
    assert settings.azure is not None
    return open_azure_backend(settings.azure, settings.master_key, SERVICE, clock=clock)
