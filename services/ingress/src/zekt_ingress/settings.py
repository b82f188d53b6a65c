"""Ingress's settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from zekt_common.adapters.backend_settings import ON_THIS_MACHINE, BackendSettings
from zekt_common.kit.settings import EnvironmentReader, HostSettings

SECRETS: Final = "ZEKT_GITHUB_WEBHOOK_SECRETS"
MASTER_KEYS: Final = "ZEKT_WEBHOOK_MASTER_KEYS"
APP_ID: Final = "ZEKT_GITHUB_APP_ID"
MIN_MASTER_KEY_BYTES: Final = 32


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
            webhook_master_keys=_master_keys(reader),
            app_id=reader.number(APP_ID) if secrets or reader.optional(APP_ID) else None,
            oidc_issuer=reader.url("ZEKT_GITHUB_OIDC_ISSUER", default="https://token.actions.githubusercontent.com"),
            oidc_audience=reader.text("ZEKT_GITHUB_OIDC_AUDIENCE", default="api://zekt"),
            backend=BackendSettings.read(reader),
        )
        if not secrets and not reader.texts(MASTER_KEYS):
            reader.reject(SECRETS, f"is not set, nor is {MASTER_KEYS}: no webhook could be verified")
        reader.check()
        return settings


def _master_keys(reader: EnvironmentReader) -> tuple[bytes, ...]:
    """Read `generation:key` pairs, such as `1:9f86…`; the generation is for whoever rotates them."""
    keys: dict[str, bytes] = {}
    for number, pair in enumerate(reader.texts(MASTER_KEYS), start=1):
        generation, _, text = pair.partition(":")
        key = _hex_bytes(text)
        if not (generation.isascii() and generation.isdigit()) or len(key) < MIN_MASTER_KEY_BYTES:
            reader.reject(MASTER_KEYS, f"needs <generation>:<64 or more hex digits> as its entry {number}")
        elif generation in keys:
            reader.reject(MASTER_KEYS, f"has two keys of generation {generation}")
        keys[generation] = key
    return tuple(keys.values())


def _hex_bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
