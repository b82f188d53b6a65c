"""Service tokens, as a service shows them to identity, and the issuer that all services of one data directory share."""

from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from zekt_common.auth.refusals import TokenRefused
from zekt_common.auth.secret_file import read_or_create
from zekt_common.clock import Clock, utc_now
from zekt_common.contracts.identity import AUDIENCE, ISSUER
from zekt_common.errors import StorageUnusable, ZektError

KEY_FILE: Final = "service-issuer.key"
LIFE: Final = timedelta(minutes=5)
LEEWAY_S: Final = 5.0
ALGORITHM: Final = "EdDSA"


class ServiceTokenUnavailable(ZektError):
    """No service token now; ask again after `retry_after_s`. The message names the setting to look at."""

    def __init__(self, detail: str, *, retry_after_s: float) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class ServiceTokens(Protocol):
    """Where a service's own tokens come from."""

    async def token(self) -> str:
        """Return a token that lives long enough to make a call.

        Raises:
            ServiceTokenUnavailable: not now.
        """
        ...


class EmbeddedIssuer:
    """Mints short-lived service tokens, and vouches for them; the key is made in `data_dir` at first use."""

    algorithm = ALGORITHM
    issuers = frozenset({ISSUER})
    audiences = frozenset({AUDIENCE})
    leeway_s = LEEWAY_S

    def __init__(self, data_dir: Path, *, clock: Clock = utc_now) -> None:
        self._path = data_dir / KEY_FILE
        self._clock = clock
        self._loaded: Ed25519PrivateKey | None = None

    def mint(self, *, service: str, roles: Collection[str]) -> str:
        """Return a token that lets `service` act in `roles` for five minutes.

        Raises:
            StorageUnusable: the key can be neither read nor created.
        """
        now = self._clock()
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": service,
            "roles": sorted(roles),
            "iat": int(now.timestamp()),
            "exp": int((now + LIFE).timestamp()),
        }
        return jwt.encode(claims, self._key(), algorithm=ALGORITHM)

    async def key(self, _key_id: str | None, /) -> Ed25519PublicKey:
        """Return the one key there is.

        Raises:
            StorageUnusable: it can be neither read nor created.
        """
        return self._key().public_key()

    def service(self, claims: dict[str, Any], /) -> str:
        """Return the name of the service that signed claims speak for.

        Raises:
            TokenRefused: they name none.
        """
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject:
            raise TokenRefused("It names no service.")
        return subject

    def _key(self) -> Ed25519PrivateKey:
        if self._loaded is None:
            self._loaded = _parse(self._path, read_or_create(self._path, _new_key))
        return self._loaded


class EmbeddedTokens:
    """Tokens of this machine's issuer, for one service in its roles; each call has its own."""

    def __init__(self, issuer: EmbeddedIssuer, *, service: str, roles: Collection[str]) -> None:
        self._issuer = issuer
        self._service = service
        self._roles = roles

    async def token(self) -> str:
        """Return a token that lives for five minutes.

        Raises:
            StorageUnusable: the issuer's key can be neither read nor created.
        """
        return self._issuer.mint(service=self._service, roles=self._roles)


def _new_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _parse(path: Path, pem: bytes) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise StorageUnusable(f"{path} holds no Ed25519 private key: move it away and a new one is made")
    return key
