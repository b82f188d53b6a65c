"""Who is calling: the App by its JWT, an installation or a person by a token."""

import secrets
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.types import Options

from zekt_sandbox.github.errors import GitHubError, InvalidControlError, bad_credentials, not_accessible, not_found
from zekt_sandbox.github.limits import ANONYMOUS
from zekt_sandbox.github.model import Account, Installation, InstallationToken, Repository
from zekt_sandbox.github.oauth import OAuth
from zekt_sandbox.github.state import GitHubState
from zekt_sandbox.github.user_tokens import UserToken

TOKEN_LIFE_S = 3600
_JWT_LIFE_S = 600
_DRIFT_S = 60
_JWT_DOTS = 2
_TOKEN_BYTES = 387  # 516 characters of base64 after the prefix, the length of GitHub's newer tokens
_CHECKED_HERE: Options = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
    "verify_sub": False,
}


def public_key(private_key_pem: str) -> RSAPublicKey:
    """The public half of an App's key.

    Raises:
        InvalidControlError: the PEM is not an RSA private key.
    """
    key = load_pem_private_key(private_key_pem.encode(), password=None).public_key()
    if not isinstance(key, RSAPublicKey):
        raise InvalidControlError("the App's private key must be RSA")
    return key


def bearer(request: web.Request) -> str | None:
    """The credential of the request, sent as `Bearer` or as `token`."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() if scheme.lower() in ("bearer", "token") and value else None


class Authenticator:
    """Checks credentials against the state."""

    def __init__(self, state: GitHubState, oauth: OAuth) -> None:
        self._state = state
        self._oauth = oauth
        self._app_key = public_key(state.app.private_key_pem)

    def actor(self, request: web.Request) -> str:
        """Whose rate limit the request uses; nothing is verified here."""
        if request.path.startswith(f"/applications/{self._state.app.client_id}/"):
            return f"app ID {self._state.app.id}"
        credential = bearer(request)
        if credential is None:
            return ANONYMOUS
        token = self._state.tokens.get(credential)
        if token is not None:
            return f"installation ID {token.installation.id}"
        user_token = self._oauth.tokens.find(credential)
        if user_token is not None:
            return f"user ID {user_token.person.id}"
        return f"app ID {self._state.app.id}" if credential.count(".") == _JWT_DOTS else ANONYMOUS

    def require_app(self, request: web.Request) -> None:
        """Accept the App's own JWT only.

        Raises:
            GitHubError: 401 or 404 as GitHub words it.
        """
        credential = bearer(request)
        if credential is None:
            raise GitHubError(401, "A JSON web token could not be decoded")
        try:
            claims = jwt.decode(credential, self._app_key, algorithms=["RS256"], options=_CHECKED_HERE)
        except jwt.InvalidTokenError:
            raise GitHubError(401, "A JSON web token could not be decoded") from None
        self._check_claims(claims)

    def _check_claims(self, claims: dict[str, Any]) -> None:
        now = self._state.clock.machine_now()
        issued, expires, issuer = claims.get("iat"), claims.get("exp"), claims.get("iss")
        if str(issuer) not in (str(self._state.app.id), self._state.app.client_id):
            raise GitHubError(404, "Integration not found")
        if not isinstance(issued, int) or issued > now + _DRIFT_S:
            raise GitHubError(
                401,
                "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
            )
        if not isinstance(expires, int) or expires <= now:
            raise GitHubError(
                401,
                "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the "
                "assertion expires",
            )
        if expires > now + _JWT_LIFE_S:
            raise GitHubError(401, "'Expiration time' claim ('exp') is too far in the future")

    def require_token(self, request: web.Request) -> InstallationToken:
        """Accept a live installation token only.

        Raises:
            GitHubError: 401 unknown, revoked or expired; 403 suspended, or a person's.
        """
        caller = self.caller(request)
        if isinstance(caller, UserToken):
            raise GitHubError(403, "You must authenticate with an installation access token for this request.")
        return caller

    def require_user(self, request: web.Request) -> Account:
        """Accept a live user access token only, and return whose it is.

        Raises:
            GitHubError: 401 unknown, revoked or expired; 403 an installation's.
        """
        caller = self.caller(request)
        if not isinstance(caller, UserToken):
            raise not_accessible()
        return caller.person

    def person(self, request: web.Request) -> Account | None:
        """The person who calls; None for an installation or nobody."""
        token = self._oauth.tokens.find(bearer(request) or "")
        return None if token is None else token.person

    def caller(self, request: web.Request) -> InstallationToken | UserToken:
        """Accept a live token of an installation or of a person.

        Raises:
            GitHubError: 401 unknown, revoked or expired; 403 suspended.
        """
        credential = bearer(request)
        if credential is None:
            raise GitHubError(401, "Requires authentication")
        user_token = self._oauth.tokens.find(credential)
        return self._installation_token(credential) if user_token is None else user_token

    def _installation_token(self, credential: str) -> InstallationToken:
        token = self._state.tokens.get(credential)
        if token is None or token.revoked or token.expires_at <= self._state.clock.now():
            raise bad_credentials()
        if token.installation.suspended_at is not None:
            raise GitHubError(403, "This installation has been suspended")
        return token

    def repository(self, request: web.Request, permission: str, level: str, *, role: str | None = None) -> Repository:
        """The repository of the path, if the caller's token reaches it with the permission.

        Of a person it takes `role` in the repository as well, or `level` if none is named.

        Raises:
            GitHubError: 401, 403 or 404.
        """
        caller = self.caller(request)
        found = self.named_repository(request)
        if not self._covers(caller, found):
            raise not_found()
        granting = self._state.installation_of(found) if isinstance(caller, UserToken) else caller
        if granting is None or not granting.grants(permission, level):
            raise not_accessible()
        if isinstance(caller, UserToken) and not self._state.people.holds(caller.person, found, role or level):
            raise not_found()
        return found

    def visible_repository(self, request: web.Request) -> Repository:
        """The repository of the path, if it is public or the caller's token reaches it.

        Raises:
            GitHubError: 401, 403 or 404.
        """
        caller = None if bearer(request) is None else self.caller(request)
        found = self.named_repository(request)
        if found.private and (caller is None or not self._covers(caller, found)):
            raise not_found()
        return found

    def _covers(self, caller: InstallationToken | UserToken, repository: Repository) -> bool:
        """Whether the token reaches a repository; a person's only where the App is installed and not suspended."""
        if isinstance(caller, InstallationToken):
            return caller.covers(repository)
        installation = self._state.installation_of(repository)
        reached = installation is not None and installation.suspended_at is None
        return reached and self._state.people.holds(caller.person, repository, "read")

    def named_repository(self, request: web.Request) -> Repository:
        """The repository that the path names, by name or by id, whoever asks.

        Raises:
            GitHubError: 404.
        """
        match = request.match_info
        if "repository_id" in match:
            found = self._state.repositories_by_id.get(int(match["repository_id"]))
        else:
            found = self._state.repositories.get(f"{match['owner']}/{match['repo']}".lower())
        if found is None:
            raise not_found()
        return found


def issue_token(
    state: GitHubState,
    installation: Installation,
    *,
    permissions: dict[str, str] | None = None,
    repository_ids: frozenset[int] | None = None,
) -> InstallationToken:
    """A new installation token, good for an hour."""
    token = InstallationToken(
        value="ghs_" + secrets.token_urlsafe(_TOKEN_BYTES),
        installation=installation,
        permissions=dict(installation.permissions if permissions is None else permissions),
        repository_ids=repository_ids,
        expires_at=state.clock.now() + TOKEN_LIFE_S,
    )
    state.tokens[token.value] = token
    return token
