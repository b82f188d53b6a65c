"""Service tokens on one machine: short-lived JWTs, signed with a key in the data directory that all services share."""

from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from zekt_common.auth.bearer import bearer_token, check_times
from zekt_common.auth.refusals import RoleMissing, TokenRefused
from zekt_common.auth.secret_file import read_or_create
from zekt_common.clock import Clock, utc_now
from zekt_common.contracts.identity import AUDIENCE, ISSUER
from zekt_common.errors import StorageUnusable

KEY_FILE = "service-issuer.key"
LIFE = timedelta(minutes=5)
LEEWAY_S = 5.0
ALGORITHM = "EdDSA"


class ServiceCaller(msgspec.Struct, frozen=True):
    """The service that a verified token speaks for, and what it may do."""

    service: str
    roles: frozenset[str]


class _Claims(msgspec.Struct):
    sub: str
    roles: list[str]


class EmbeddedIssuer:
    """Mints and verifies service tokens; the key is made in `data_dir` at first use."""

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

    def verify(self, authorization: str | None, *, role: str) -> ServiceCaller:
        """Return who calls, if it may act in `role`.

        Raises:
            TokenRefused: no token, or not one of this issuer that is valid now.
            RoleMissing: the caller does not have the role.
        """
        claims = self._signed_claims(bearer_token(authorization))
        if claims.get("iss") != ISSUER or claims.get("aud") != AUDIENCE:
            raise TokenRefused("The service token is of another issuer or for another audience.")
        check_times(claims, self._clock(), LEEWAY_S)
        try:
            typed = msgspec.convert(claims, _Claims)
        except msgspec.ValidationError:
            raise TokenRefused("The service token lacks its subject or its roles.") from None
        if role not in typed.roles:
            raise RoleMissing(role)
        return ServiceCaller(typed.sub, frozenset(typed.roles))

    def _signed_claims(self, token: str) -> dict[str, Any]:
        options: Any = {f"verify_{claim}": False for claim in ("aud", "iss", "exp", "nbf", "iat", "sub", "jti")}
        try:
            claims: dict[str, Any] = jwt.decode(
                token, self._key().public_key(), algorithms=[ALGORITHM], options=options
            )
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise TokenRefused("The service token is not signed by this installation's issuer.") from None
        return claims

    def _key(self) -> Ed25519PrivateKey:
        if self._loaded is None:
            self._loaded = _parse(self._path, read_or_create(self._path, _new_key))
        return self._loaded


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
