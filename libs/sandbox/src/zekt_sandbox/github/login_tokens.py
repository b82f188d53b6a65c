"""`POST /login/oauth/access_token`: a code, a device code or a refresh token for a user access token."""

import hmac
from typing import Any

from aiohttp import web

from zekt_sandbox.github.core import CORE, Core
from zekt_sandbox.github.oauth_messages import OAuthError, answer, incorrect_client, read_parameters
from zekt_sandbox.github.user_tokens import REFRESH_TOKEN_LIFE_S, UserToken

routes = web.RouteTableDef()


@routes.post("/login/oauth/access_token")
async def create_token(request: web.Request) -> web.Response:
    """Answer with a pair of tokens, or with the refusal, both under status 200."""
    asked = await read_parameters(request)
    try:
        return answer(request, token_json(_grant(request.config_dict[CORE], asked)))
    except OAuthError as refusal:
        return answer(request, refusal.members())


def token_json(token: UserToken) -> dict[str, Any]:
    """The pair as GitHub answers it; lives are in seconds."""
    return {
        "access_token": token.value,
        "expires_in": token.life_s,
        "refresh_token": token.refresh_value,
        "refresh_token_expires_in": REFRESH_TOKEN_LIFE_S,
        "scope": "",
        "token_type": "bearer",
    }


def _grant(core: Core, asked: dict[str, str]) -> UserToken:
    if asked.get("client_id") != core.state.app.client_id:
        raise incorrect_client()
    with_secret = _has_secret(core, asked)
    match asked.get("grant_type", "authorization_code"):
        case "authorization_code":
            return _by_code(core, asked, with_secret=with_secret)
        case "urn:ietf:params:oauth:grant-type:device_code":
            return core.oauth.tokens.issue(core.oauth.devices.poll(asked.get("device_code", "")), by_device=True)
        case "refresh_token":
            return core.oauth.tokens.refresh(asked.get("refresh_token", ""), with_secret=with_secret)
        case _:
            raise OAuthError("unsupported_grant_type", "The grant type is not supported.")


def _by_code(core: Core, asked: dict[str, str], *, with_secret: bool) -> UserToken:
    if not with_secret:
        raise incorrect_client()
    person = core.oauth.codes.redeem(
        asked.get("code", ""), redirect_uri=asked.get("redirect_uri"), verifier=asked.get("code_verifier")
    )
    return core.oauth.tokens.issue(person)


def _has_secret(core: Core, asked: dict[str, str]) -> bool:
    """Whether the client secret was sent; a wrong one is refused, whatever it is for."""
    if "client_secret" not in asked:
        return False
    if not hmac.compare_digest(asked["client_secret"].encode(), core.state.app.client_secret.encode()):
        raise incorrect_client()
    return True
