"""Identity's internal door: tokens for services, each noted before it is answered."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from zekt_common.auth.origin import origin_of
from zekt_common.auth.requirements import ServiceRole
from zekt_common.auth.service_verifier import ServiceTokenVerifier
from zekt_common.contracts.identity import (
    INSTALLATION_TOKENS_PATH,
    NOT_THERE,
    TOKENS_INSTALLATION,
    TOKENS_USER,
    USER_TOKENS_PATH,
    InstallationToken,
    InstallationTokenRequest,
    UserToken,
    UserTokenRequest,
)
from zekt_common.kit.errors import Refusal, json_response
from zekt_common.kit.json_body import json_body
from zekt_common.kit.service import Handler, Route
from zekt_common.telemetry.tracing import current_span
from zekt_identity.audit import NOBODY
from zekt_identity.auditor import Auditor
from zekt_identity.github_app import AppCredentialsRefused, GitHubRefused, GitHubUnavailable
from zekt_identity.installations import Installations
from zekt_identity.scopes import Scope, scope_of
from zekt_identity.tokens import TokenCache
from zekt_identity.user_tokens import SignInNeeded, UserTokenVault

RETRY_AFTER_S = 5.0
CREDENTIALS_RETRY_AFTER_S = 60.0

_HELP = {
    "installation_not_found": "The App is not installed there: ask the account's owner to install it.",
    "installation_suspended": "The account's owner has suspended the App's installation.",
    "repository_not_in_installation": "The installation does not include that repository: its owner can add it.",
    "permission_not_granted": "The installation has not granted that permission: its owner must accept it.",
}


@dataclass(frozen=True, kw_only=True)
class TokenDesk:
    """What the routes work with."""

    callers: ServiceTokenVerifier
    tokens: TokenCache
    vault: UserTokenVault
    installations: Installations
    auditor: Auditor


class TokenDoor:
    """`POST /internal/tokens/...`, for services whose token has the role."""

    def __init__(self, desk: Callable[[], TokenDesk]) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """Return the door's routes."""
        return [
            _route(INSTALLATION_TOKENS_PATH, self.give_installation_token, TOKENS_INSTALLATION),
            _route(USER_TOKENS_PATH, self.give_user_token, TOKENS_USER),
        ]

    async def give_installation_token(self, request: web.Request) -> web.Response:
        """Answer 200 with a token, 404 or 422 when GitHub says no, 503 with Retry-After when it cannot say."""
        caller = await self._desk().callers.verify(request.headers.get("Authorization"), role=TOKENS_INSTALLATION)
        asked = json_body(await request.read(), InstallationTokenRequest)
        span = current_span()
        if span is not None:
            span.set(caller=caller.service, purpose=asked.purpose)
        try:
            token = await self._token(scope_of(asked), asked.rejected_sha256)
        except GitHubUnavailable as error:
            raise _unavailable("github_unavailable", f"{error}.", error.pause_s or RETRY_AFTER_S) from error
        except AppCredentialsRefused as error:
            detail = f"GitHub refuses the App's credentials: {error}."
            raise _unavailable(error.code, detail, CREDENTIALS_RETRY_AFTER_S) from error
        except GitHubRefused as error:
            status = 404 if error.code in NOT_THERE else 422
            raise Refusal(status, error.code, f"{_HELP.get(error.code, 'GitHub said no.')} ({error})") from error
        await self._desk().auditor.token_given(
            caller=caller.service,
            origin=origin_of(request),
            kind="installation",
            purpose=asked.purpose,
            token=token.token,
            account_id=token.account_id or NOBODY,
            installation_id=token.installation_id,
            repository_ids=token.repository_ids,
        )
        return json_response(token, headers={"Cache-Control": "no-store"})

    async def give_user_token(self, request: web.Request) -> web.Response:
        """Answer 200 with a person's token, 404 when there is none that works, 503 with Retry-After when not now."""
        caller = await self._desk().callers.verify(request.headers.get("Authorization"), role=TOKENS_USER)
        asked = json_body(await request.read(), UserTokenRequest)
        try:
            stored = await self._desk().vault.usable(asked.account_id)
        except SignInNeeded:
            raise Refusal(404, "sign_in_needed", "The person has to sign in (again).") from None
        except GitHubUnavailable as error:
            raise _unavailable("github_unavailable", f"{error}.", error.pause_s or RETRY_AFTER_S) from error
        await self._desk().auditor.token_given(
            caller=caller.service,
            origin=origin_of(request),
            kind="user",
            purpose=asked.purpose,
            token=stored.tokens.access_token,
            account_id=asked.account_id,
        )
        answer = UserToken(
            token=stored.tokens.access_token,
            expires_at=stored.tokens.expires_at,
            account_id=asked.account_id,
            login=stored.login,
        )
        return json_response(answer, headers={"Cache-Control": "no-store"})

    async def _token(self, scope: Scope, rejected_sha256: str | None) -> InstallationToken:
        """Return a token; GitHub is asked anew if the installation is said to be gone, or to have lost a repository."""
        desk = self._desk()
        token = await desk.tokens.look_up(scope, rejected_sha256=rejected_sha256)
        if await desk.installations.may_cover(token.installation_id, token.repository_ids):
            return token
        return await desk.tokens.look_up(scope, rejected_sha256=hashlib.sha256(token.token.encode()).hexdigest())


def _route(path: str, handler: Handler, role: str) -> Route:
    return Route(
        method="POST",
        path=path,
        handler=handler,
        requires=ServiceRole(role),
        internal=True,
        max_body_bytes=64 * 1024,
    )


def _unavailable(code: str, detail: str, retry_after_s: float) -> Refusal:
    return Refusal(503, code, detail, headers={"Retry-After": str(math.ceil(retry_after_s))})
