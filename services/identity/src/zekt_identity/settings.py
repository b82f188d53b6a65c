"""Identity's settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from zekt_common.kit.settings import EnvironmentReader, HostSettings

KEY_FILE: Final = "ZEKT_GITHUB_APP_PRIVATE_KEY_FILE"


@dataclass(frozen=True, kw_only=True)
class IdentitySettings:
    """The GitHub App that identity speaks for, and where GitHub is."""

    host: HostSettings
    github_api_url: str
    app_id: int
    private_key_pem: bytes = field(repr=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "IdentitySettings":
        """Return the settings in `env`; the private key is read from its file now.

        Raises:
            SettingsError: it names every variable that is missing or unusable.
        """
        reader = EnvironmentReader(env)
        settings = cls(
            host=HostSettings.read(reader),
            github_api_url=reader.secure_url("ZEKT_GITHUB_API_URL", default="https://api.github.com"),
            app_id=reader.number("ZEKT_GITHUB_APP_ID"),
            private_key_pem=_private_key(reader),
        )
        reader.check()
        return settings


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
