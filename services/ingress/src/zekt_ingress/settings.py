"""Ingress's settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from zekt_common.adapters.backend_settings import ON_THIS_MACHINE, BackendSettings
from zekt_common.auth.webhook_secrets import MASTER_KEYS, read_master_keys
from zekt_common.kit.settings import EnvironmentReader, HostSettings

SECRETS: Final = "ZEKT_GITHUB_WEBHOOK_SECRETS"
APP_ID: Final = "ZEKT_GITHUB_APP_ID"


@dataclass(frozen=True, kw_only=True)
class IngressSettings:
    """Whose webhooks and messages are believed. Several secrets or keys are all active, so that one can be rotated.

    The rate of messages is bounded for each repository and process. `own_relay` is for a process that does nothing but
    ingest: another one then relays.
    """

    host: HostSettings
    webhook_secrets: tuple[str, ...] = field(repr=False)
    webhook_master_keys: tuple[bytes, ...] = field(repr=False)
    app_id: int | None
    oidc_issuer: str
    oidc_audience: str
    messages_per_s: float = 100.0
    message_burst: int = 500
    own_relay: bool = False
    backend: BackendSettings = ON_THIS_MACHINE

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "IngressSettings":
        """Return the settings in `env`. Without a webhook secret or master key there are none.

        Raises:
            SettingsError: it names every variable that is missing or unusable.
        """
        reader = EnvironmentReader(env)
        secrets = reader.texts(SECRETS)
        settings = cls(
            host=HostSettings.read(reader),
            webhook_secrets=secrets,
            webhook_master_keys=tuple(read_master_keys(reader).values()),
            app_id=reader.number(APP_ID) if secrets or reader.optional(APP_ID) else None,
            oidc_issuer=reader.url("ZEKT_GITHUB_OIDC_ISSUER", default="https://token.actions.githubusercontent.com"),
            oidc_audience=reader.text("ZEKT_GITHUB_OIDC_AUDIENCE", default="api://zekt"),
            backend=BackendSettings.read(reader),
        )
        if not secrets and not reader.texts(MASTER_KEYS):
            reader.reject(SECRETS, f"is not set, nor is {MASTER_KEYS}: no webhook could be verified")
        reader.check()
        return settings
