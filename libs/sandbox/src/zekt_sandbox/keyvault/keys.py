"""Keys, each with its versions; the newest is the one that a request without a version means."""

import secrets
import time
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from zekt_sandbox.keyvault.errors import bad_parameter, disabled, key_not_found

KEY_BITS = 2048
ALGORITHM = "RSA-OAEP-256"
_OAEP = padding.OAEP(mgf=padding.MGF1(algorithm=SHA256()), algorithm=SHA256(), label=None)


@dataclass(slots=True)
class KeyVersion:
    """One version of a key; `created` and `updated` are whole seconds, as the service tells them."""

    private: rsa.RSAPrivateKey = field(repr=False)
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    enabled: bool = True
    created: int = field(default_factory=lambda: int(time.time()))
    updated: int = field(default_factory=lambda: int(time.time()))

    def wrap(self, value: bytes) -> bytes:
        """Encrypt under the public half.

        Raises:
            VaultError: 400, the value is too long; 403, the version is disabled.
        """
        self._check_enabled()
        try:
            return self.private.public_key().encrypt(value, _OAEP)
        except ValueError:
            raise bad_parameter("The value is too long for this key.") from None

    def unwrap(self, value: bytes) -> bytes:
        """Decrypt.

        Raises:
            VaultError: 400, it was not encrypted under this version; 403, the version is disabled.
        """
        self._check_enabled()
        try:
            return self.private.decrypt(value, _OAEP)
        except ValueError:
            raise bad_parameter("The parameter is incorrect.") from None

    def enable(self, *, enabled: bool) -> None:
        """Switch the version on or off."""
        self.enabled, self.updated = enabled, int(time.time())

    def _check_enabled(self) -> None:
        if not self.enabled:
            raise disabled()


class Keys:
    """The keys of a vault by name, their versions oldest first."""

    def __init__(self) -> None:
        self._versions: dict[str, list[KeyVersion]] = {}

    def add_version(self, name: str) -> KeyVersion:
        """Make a key, or a new version of it."""
        version = KeyVersion(rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS))
        self._versions.setdefault(name, []).append(version)
        return version

    def versions(self, name: str) -> list[KeyVersion]:
        """Return the versions of a key.

        Raises:
            VaultError: 404, there is no such key.
        """
        if name not in self._versions:
            raise key_not_found(name)
        return self._versions[name]

    def version(self, name: str, version_id: str = "") -> KeyVersion:
        """Return a version of a key, the newest unless named.

        Raises:
            VaultError: 404, there is no such key or version.
        """
        found = [each for each in self.versions(name) if version_id in ("", each.id)]
        if not found:
            raise key_not_found(f"{name}/{version_id}")
        return found[-1]
