"""Service tokens are judged here, whoever issued them: issuer, audience, times, algorithm, role."""

from typing import Any, Final, Protocol

import jwt
import msgspec
import structlog
from jwt.types import Options

from zekt_common.auth.bearer import bearer_token, check_times
from zekt_common.auth.refusals import RoleMissing, TokenRefused
from zekt_common.auth.verified_tokens import Verified, VerifiedTokens
from zekt_common.clock import Clock, utc_now

NOT_ACCEPTED: Final = "The service token is not accepted."
MAX_KEY_ID_LENGTH: Final = 256
_SIGNATURE_ALONE: Final = Options(
    verify_aud=False,
    verify_iss=False,
    verify_exp=False,
    verify_nbf=False,
    verify_iat=False,
    verify_sub=False,
    verify_jti=False,
)
"""What a signed token says is ours to judge, with our clock and our words."""

log = structlog.get_logger()


class ServiceCaller(msgspec.Struct, frozen=True):
    """The service that a verified token speaks for, and what it may do."""

    service: str
    roles: frozenset[str]


class ServiceIssuer(Protocol):
    """An issuer of service tokens, as far as a verifier needs to know it."""

    @property
    def algorithm(self) -> str:
        """The one algorithm that it signs with."""
        ...

    @property
    def issuers(self) -> frozenset[str]:
        """What it calls itself in `iss`."""
        ...

    @property
    def audiences(self) -> frozenset[str]:
        """What it calls identity in `aud`."""
        ...

    @property
    def leeway_s(self) -> float:
        """How far its clock may be from ours."""
        ...

    async def key(self, key_id: str | None, /) -> Any:
        """Return the public key with this id, or None when it has no such key.

        Raises:
            IssuerUnreachable: it is not known whether it has it.
        """
        ...

    def service(self, claims: dict[str, Any], /) -> str:
        """Return the name of the service that signed claims speak for.

        Raises:
            TokenRefused: they speak for no service.
        """
        ...


class _Roles(msgspec.Struct):
    roles: frozenset[str] = frozenset()


class ServiceTokenVerifier:
    """Verifies `Authorization` headers that carry a service token.

    What is wrong with one is logged; its sender only hears that it is not accepted.
    """

    def __init__(self, issuer: ServiceIssuer, *, clock: Clock = utc_now) -> None:
        self._issuer = issuer
        self._clock = clock
        self._verified = VerifiedTokens()

    async def verify(self, authorization: str | None, *, role: str) -> ServiceCaller:
        """Return who calls, if it may act in `role`.

        Raises:
            TokenRefused: no token, or not one of the issuer for identity that is valid now.
            RoleMissing: the caller does not have the role.
            IssuerUnreachable: the issuer's keys cannot be had, so nothing is known about the token.
        """
        try:
            caller = await self._caller(bearer_token(authorization))
        except TokenRefused as refused:
            log.info("service_token_refused", reason=refused.detail)
            raise TokenRefused(NOT_ACCEPTED) from None
        if role not in caller.roles:
            log.info("service_role_missing", service=caller.service, role=role)
            raise RoleMissing(role, caller=caller.service)
        return caller

    async def _caller(self, token: str) -> ServiceCaller:
        claims = await self._claims(token)
        check_times(claims, self._clock(), self._issuer.leeway_s)
        return ServiceCaller(self._issuer.service(claims), _roles(claims))

    async def _claims(self, token: str) -> dict[str, Any]:
        known = self._verified.get(token)
        key_id = self._key_id(token) if known is None else known.key_id
        key = await self._issuer.key(key_id)
        if key is None:
            raise TokenRefused("It is signed with a key that the issuer does not have.")
        if known is not None and known.key == key:
            return known.claims
        claims = self._signed_claims(token, key)
        self._check_ends(claims)
        self._verified.keep(token, Verified(key_id, key, claims))
        return claims

    def _key_id(self, token: str) -> str | None:
        """Look at what is not verified yet, so that a token of somebody else costs no fetch of keys."""
        try:
            unverified = jwt.decode_complete(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise TokenRefused("It is no JSON Web Token.") from None
        header, claims = unverified["header"], unverified["payload"]
        if header.get("alg") != self._issuer.algorithm:
            raise TokenRefused(f"It is not signed with {self._issuer.algorithm}.")
        self._check_ends(claims)
        key_id = header.get("kid")
        if key_id is not None and (not isinstance(key_id, str) or not 0 < len(key_id) <= MAX_KEY_ID_LENGTH):
            raise TokenRefused("Its key id is none.")
        return key_id

    def _signed_claims(self, token: str, key: Any) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token, key, algorithms=[self._issuer.algorithm], options=_SIGNATURE_ALONE
            )
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise TokenRefused("Its signature does not fit the issuer's key.") from None
        return claims

    def _check_ends(self, claims: dict[str, Any]) -> None:
        if not _is_one_of(claims.get("iss"), self._issuer.issuers):
            raise TokenRefused("It is of another issuer.")
        if not _is_one_of(claims.get("aud"), self._issuer.audiences):
            raise TokenRefused("It is for another audience.")


def _is_one_of(claim: Any, accepted: frozenset[str]) -> bool:
    return isinstance(claim, str) and claim in accepted


def _roles(claims: dict[str, Any]) -> frozenset[str]:
    try:
        return msgspec.convert(claims, _Roles).roles
    except msgspec.ValidationError:
        raise TokenRefused("Its roles are no list of names.") from None
