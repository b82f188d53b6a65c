"""GitHub Actions OIDC tokens: verified against the issuer's keys, believed only where every claim has its type."""

from typing import Any

import aiohttp
import jwt
import msgspec
from aiohttp import web

from zekt_common.auth.authorisation import CALLER, repository_caller
from zekt_common.auth.bearer import bearer_token, check_times
from zekt_common.auth.issuer_keys import IssuerKeys
from zekt_common.auth.refusals import TokenRefused
from zekt_common.clock import Clock, utc_now
from zekt_common.errors import SettingsError
from zekt_common.kit.settings import is_secure_url

LEEWAY_S = 60.0
_MAX_KEY_ID_LENGTH = 256


class ActionsClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What GitHub vouches for about a workflow run. Authorise by the ids: names can be re-registered."""

    repository: str
    repository_id: int
    repository_owner: str
    repository_owner_id: int
    run_id: int
    run_attempt: int
    workflow: str
    workflow_ref: str
    job_workflow_ref: str
    ref: str
    sha: str
    actor: str
    event_name: str
    sub: str
    exp: float

    @property
    def workflow_path(self) -> str:
        """The workflow file's path in its repository, such as `.github/workflows/ci.yml`."""
        path, _, _ = self.workflow_ref.partition("@")
        return path.removeprefix(f"{self.repository}/")


class ActionsTokenVerifier:
    """Verifies requests whose `Authorization` header carries a GitHub Actions OIDC token."""

    def __init__(
        self, http: aiohttp.ClientSession, *, issuer: str, audience: str = "api://zekt", clock: Clock = utc_now
    ) -> None:
        if not is_secure_url(issuer):
            raise SettingsError("ZEKT_GITHUB_OIDC_ISSUER must be an https URL, since plain http is for loopback alone")
        self._issuer = issuer.rstrip("/")
        self._audience = audience
        self._clock = clock
        self._keys = IssuerKeys(http, self._issuer)

    async def admit(self, request: web.Request) -> ActionsClaims:
        """Return the claims of the request's token, and leave in it who calls; see `verify`."""
        claims = await self.verify(request.headers.get("Authorization"))
        request[CALLER] = repository_caller(claims.repository_id)
        return claims

    async def verify(self, authorization: str | None) -> ActionsClaims:
        """Return the claims of the header's token.

        Raises:
            TokenRefused: there is no token, or not one that the issuer made for us and that is valid now.
            IssuerUnreachable: the issuer's keys cannot be had, so nothing is known about the token.
        """
        token = bearer_token(authorization)
        key_id = self._key_id(token)
        key = await self._keys.get(key_id)
        if key is None:
            raise TokenRefused(f"The token is signed with a key that {self._issuer} does not have.")
        claims = _signed_claims(token, key)
        self._check_addressee(claims)
        check_times(claims, self._clock(), LEEWAY_S)
        return _typed(claims)

    def _key_id(self, token: str) -> str:
        """Look at what is not verified yet, so that a token of somebody else costs no fetch and gets a clear answer."""
        try:
            unverified = jwt.decode_complete(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise TokenRefused("The token is no JSON Web Token. Request one with core.getIDToken().") from None
        header, claims = unverified["header"], unverified["payload"]
        if header.get("alg") != "RS256":
            raise TokenRefused("The token is not signed with RS256, as GitHub Actions' tokens are.")
        if claims.get("iss") != self._issuer:
            raise TokenRefused(f"The token was not issued by {self._issuer}.")
        key_id = header.get("kid")
        if not isinstance(key_id, str) or not 0 < len(key_id) <= _MAX_KEY_ID_LENGTH:
            raise TokenRefused("The token does not name the key that it is signed with.")
        return key_id

    def _check_addressee(self, claims: dict[str, Any]) -> None:
        if claims.get("iss") != self._issuer:
            raise TokenRefused(f"The token was not issued by {self._issuer}.")
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise TokenRefused(f"The token is for another audience. Request one for the audience {self._audience}.")


def _signed_claims(token: str, key: Any) -> dict[str, Any]:
    """Check the signature alone; issuer, audience and times are ours to judge, with our clock and our words."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            options={
                "verify_aud": False,
                "verify_iss": False,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_sub": False,
                "verify_jti": False,
            },
        )
    except jwt.PyJWTError:
        raise TokenRefused("The token's signature does not fit the issuer's key.") from None
    return claims


def _typed(claims: dict[str, Any]) -> ActionsClaims:
    try:
        return msgspec.convert(claims, ActionsClaims, strict=False)
    except msgspec.ValidationError as error:
        raise TokenRefused(f"The token is not one of a GitHub Actions run: {error}.") from None
