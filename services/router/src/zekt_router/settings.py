"""The router's settings."""

from collections.abc import Mapping
from dataclasses import dataclass

from zekt_common.adapters.backend_settings import ON_THIS_MACHINE, BackendSettings
from zekt_common.auth.entra_settings import EntraClient
from zekt_common.contracts.identity import DEFAULT_SKU, REPOSITORY_LIMITS, Sku
from zekt_common.kit.settings import EnvironmentReader, HostSettings


@dataclass(frozen=True, kw_only=True)
class RouterSettings:
    """Where the router runs, and whom it asks for the ids behind names.

    `default_sku` is that of accounts that come into the catalog without a record of their own at identity.
    """

    host: HostSettings
    identity_url: str
    github_api_url: str
    default_sku: Sku = DEFAULT_SKU
    backend: BackendSettings = ON_THIS_MACHINE
    entra: EntraClient | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "RouterSettings":
        """Return the settings in `env`.

        Raises:
            SettingsError: it names every variable that is missing or unusable.
        """
        reader = EnvironmentReader(env)
        settings = cls(
            host=HostSettings.read(reader),
            identity_url=reader.url("ZEKT_IDENTITY_URL"),
            github_api_url=reader.secure_url("ZEKT_GITHUB_API_URL", default="https://api.github.com"),
            default_sku=reader.choice("ZEKT_DEFAULT_SKU", REPOSITORY_LIMITS, default=DEFAULT_SKU),
            backend=BackendSettings.read(reader),
            entra=EntraClient.read(reader),
        )
        reader.check()
        return settings
