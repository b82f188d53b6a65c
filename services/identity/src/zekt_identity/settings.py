"""Identity's settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from zekt_common.adapters.backend_settings import ON_THIS_MACHINE, BackendSettings
from zekt_common.auth.entra_settings import EntraTenant
from zekt_common.auth.webhook_secrets import read_master_keys
from zekt_common.contracts.identity import DEFAULT_SKU, REPOSITORY_LIMITS, Sku
from zekt_common.kit.settings import EnvironmentReader, HostSettings

KEY_FILE: Final = "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE"
CLIENT_ID: Final = "ZEKT_GITHUB_OAUTH_CLIENT_ID"
CLIENT_SECRET: Final = "ZEKT_GITHUB_OAUTH_CLIENT_SECRET"  # noqa: S105 - a setting's name


@dataclass(frozen=True, kw_only=True)
class OAuthClient:
    """What GitHub knows the App by when people sign in."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class IdentitySettings:
    """The GitHub App that identity speaks for, where GitHub is, and where people reach Zekt.

    Without an OAuth client nobody can sign in, and without a master key no webhook is placed; everything else works.
    `default_sku` is what an account has that no operator has given another.
    """

    host: HostSettings
    github_api_url: str
    app_id: int
    private_key_pem: bytes = field(repr=False)
    github_url: str = "https://github.com"
    public_url: str = "http://127.0.0.1:8080"
    oauth: OAuthClient | None = None
    default_sku: Sku = DEFAULT_SKU
    backend: BackendSettings = ON_THIS_MACHINE
    entra: EntraTenant | None = None
    webhook_master_keys: Mapping[int, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "IdentitySettings":
        """Return the settings in `env`; the private key is read from its file now.

        Raises:
            SettingsError: it names every variable that is missing or unusable.
        """
        reader = EnvironmentReader(env)
        host = HostSettings.read(reader)
        api_url = reader.secure_url("ZEKT_GITHUB_API_URL", default="https://api.github.com")
        settings = cls(
            host=host,
            github_api_url=api_url,
            app_id=reader.number("ZEKT_GITHUB_APP_ID"),
            private_key_pem=_private_key(reader),
            github_url=reader.secure_url("ZEKT_GITHUB_URL", default=web_url_of(api_url)),
            public_url=reader.secure_url("ZEKT_PUBLIC_URL", default=f"http://127.0.0.1:{host.port or 8080}"),
            oauth=_oauth(reader),
            default_sku=reader.choice("ZEKT_DEFAULT_SKU", REPOSITORY_LIMITS, default=DEFAULT_SKU),
            backend=BackendSettings.read(reader),
            entra=EntraTenant.read(reader),
            webhook_master_keys=read_master_keys(reader),
        )
        reader.check()
        return settings


def web_url_of(api_url: str) -> str:
    """Return where people reach the GitHub whose API this is: github.com, GHE.com or GitHub Enterprise Server."""
    parts = urlsplit(api_url)
    return urlunsplit((parts.scheme, parts.netloc.removeprefix("api."), parts.path.removesuffix("/api/v3"), "", ""))


def _oauth(reader: EnvironmentReader) -> OAuthClient | None:
    client_id, client_secret = reader.optional(CLIENT_ID), reader.optional(CLIENT_SECRET)
    if client_id is None and client_secret is None:
        return None
    if client_id is None or client_secret is None:
        missing, present = (CLIENT_ID, CLIENT_SECRET) if client_id is None else (CLIENT_SECRET, CLIENT_ID)
        reader.reject(missing, f"is not set, though {present} is: set both, or neither for no sign-in")
        return None
    return OAuthClient(client_id=client_id, client_secret=client_secret)


def _private_key(reader: EnvironmentReader) -> bytes:
    pem = reader.file(KEY_FILE)
    if pem is not None and not _is_rsa_key(pem):
        reader.reject(KEY_FILE, "names a file that holds no unencrypted RSA private key in PEM form")
    return pem or b""


def _is_rsa_key(pem: bytes) -> bool:
    try:
        return isinstance(load_pem_private_key(pem, password=None), RSAPrivateKey)
    except (ValueError, TypeError):
        return False
