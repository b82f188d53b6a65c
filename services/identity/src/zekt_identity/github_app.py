"""The GitHub App's own calls: who am I, which installation covers a repository, a token for an installation."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import aiohttp
import gidgethub
import msgspec
from gidgethub.aiohttp import GitHubAPI

from zekt_common.errors import ZektError
from zekt_identity.scopes import ById, ByName, Permissions, Scope

TIMEOUT_S: Final = 10.0
CONCURRENT_CALLS: Final = 20
DEFAULT_LIMIT_PAUSE_S: Final = 60.0
MAX_PAUSE_S: Final = 3600.0
_INTEGRATION: Final = "integration not found"
_RATE_LIMITED: Final = "rate limit"

Answer = TypeVar("Answer")


class GitHubUnavailable(ZektError):
    """GitHub did not answer usefully; `pause_s` is how long it asked to be left alone, if it did."""

    def __init__(self, reason: str, *, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


class RateLimited(GitHubUnavailable):
    """GitHub answers, and whoever's limit it is has to wait; it says nothing of anybody else."""


class GitHubRefused(ZektError):
    """GitHub said no; `code` says which no."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class AppCredentialsRefused(GitHubRefused):
    """GitHub does not know the App, or not by this key."""

    def __init__(self, message: str) -> None:
        super().__init__("app_credentials_refused", message)


class Owner(msgspec.Struct):
    """An account as GitHub names it."""

    id: int


class Repository(msgspec.Struct):
    """A repository as GitHub names it."""

    id: int
    owner: Owner


class IssuedToken(msgspec.Struct):
    """GitHub's answer to a token request. Its repr never shows the token."""

    token: str
    expires_at: datetime
    repositories: list[Repository] = []

    def __repr__(self) -> str:
        return f"IssuedToken(expires_at={self.expires_at.isoformat()})"


class _Identified(msgspec.Struct):
    id: int


class GitHubApp:
    """Speaks as the App: gidgethub signs and caches the App JWT."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        *,
        api_url: str,
        app_id: int,
        private_key_pem: bytes,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._api = GitHubAPI(http, "zekt-identity", app_id=str(app_id), private_key=private_key_pem, base_url=api_url)
        self._app_id = app_id
        self._timeout_s = timeout_s
        self._calls = asyncio.Semaphore(CONCURRENT_CALLS)

    async def check_credentials(self) -> None:
        """Pass if GitHub knows the App by this key.

        Raises:
            AppCredentialsRefused: it does not.
            GitHubUnavailable: it is not known whether it does.
        """
        app = await self._call(lambda: self._api.getitem("/app"), _Identified)
        if app.id != self._app_id:
            raise AppCredentialsRefused(f"the key belongs to the App {app.id}")

    async def get(self, path: str, kind: type[Answer], *, token: str | None = None) -> Answer:
        """Return what GitHub answers, asked as the App, or as the installation whose token it is.

        Raises:
            GitHubRefused: GitHub says no.
            GitHubUnavailable: ask again later.
        """
        return await self._call(lambda: self._api.getitem(path, oauth_token=token), kind)

    async def reading_token(self, installation_id: int) -> str:
        """Return a token that sees which repositories are in the installation, and does nothing else.

        Raises:
            GitHubRefused: it is gone or suspended.
            GitHubUnavailable: ask again later.
        """
        return (await self._token(installation_id, {}, (("metadata", "read"),))).token

    async def issue(self, scope: Scope) -> tuple[int, IssuedToken]:
        """Return the installation's id and a new token for exactly this scope.

        Raises:
            GitHubRefused: there is no such installation, repository or permission, or the App is refused.
            GitHubUnavailable: ask again later.
        """
        match scope:
            case ById():
                wanted: dict[str, Any] = {"repository_ids": list(scope.repository_ids)}
                return scope.installation_id, await self._token(scope.installation_id, wanted, scope.permissions)
            case ByName():
                installation_id = await self._installation_of(scope)
                return installation_id, await self._token(
                    installation_id, {"repositories": [scope.name]}, scope.permissions
                )

    async def _installation_of(self, scope: ByName) -> int:
        names = {"owner": scope.owner, "repo": scope.name}
        found = await self._call(lambda: self._api.getitem("/repos/{owner}/{repo}/installation", names), _Identified)
        return found.id

    async def _token(self, installation_id: int, wanted: dict[str, Any], permissions: Permissions) -> IssuedToken:
        body = {**wanted, "permissions": dict(permissions)}
        path = f"/app/installations/{installation_id}/access_tokens"
        return await self._call(lambda: self._api.post(path, data=body), IssuedToken)

    async def _call(self, call: Callable[[], Awaitable[Any]], kind: type[Answer]) -> Answer:
        try:
            async with self._calls, asyncio.timeout(self._timeout_s):
                return msgspec.convert(await call(), kind)
        except gidgethub.HTTPException as error:
            raise classify(int(error.status_code), str(error), error.headers, time.time()) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise GitHubUnavailable(f"GitHub cannot be reached: {type(error).__name__}") from error
        except (msgspec.ValidationError, ValueError, LookupError, TypeError) as error:
            raise GitHubUnavailable("GitHub's answer makes no sense") from error


def classify(status: int, message: str, headers: Mapping[str, str], now: float) -> GitHubUnavailable | GitHubRefused:
    """Return what GitHub's refusal means; `now` is in Unix seconds, as GitHub's reset time is."""
    said = message.lower()
    pause_s = _asked_pause(headers, now)
    if status == 429 or (status == 403 and (pause_s is not None or _RATE_LIMITED in said)):  # noqa: PLR2004 - HTTP's own numbers
        return RateLimited(
            "GitHub's rate limit is reached", pause_s=DEFAULT_LIMIT_PAUSE_S if pause_s is None else pause_s
        )
    if status == 401 or (status == 404 and _INTEGRATION in said):  # noqa: PLR2004 - likewise
        return AppCredentialsRefused(message)
    code = _refusal_code(status, said)
    return (
        GitHubUnavailable(f"GitHub answered {status}", pause_s=pause_s)
        if code is None
        else GitHubRefused(code, message)
    )


def _refusal_code(status: int, said: str) -> str | None:
    match status:
        case 404:
            return "installation_not_found"
        case 403 if "suspended" in said:
            return "installation_suspended"
        case 422:
            return "permission_not_granted" if "permission" in said else "repository_not_in_installation"
        case 400 | 403 | 410 | 451:
            return "github_refused"
        case _:
            return None


def _asked_pause(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that GitHub asks to wait: `Retry-After`, or the reset time of a used-up limit."""
    retry_after, remaining, reset = (
        headers.get(name, "") for name in ("retry-after", "x-ratelimit-remaining", "x-ratelimit-reset")
    )
    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after), MAX_PAUSE_S)
    if remaining == "0" and reset.isascii() and reset.isdigit():
        return min(max(float(reset) - now, 1.0), MAX_PAUSE_S)
    return None
