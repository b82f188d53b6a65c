"""`/applications/{client_id}`: the App checks and revokes its user tokens, by its client id and secret."""

import hmac
import json

from aiohttp import encode_basic_auth, web

from zekt_sandbox.github.clock import iso
from zekt_sandbox.github.core import CORE, Core
from zekt_sandbox.github.errors import GitHubError, bad_credentials, not_found
from zekt_sandbox.github.resources import account_json
from zekt_sandbox.github.user_tokens import UserToken

routes = web.RouteTableDef()
_APPLICATION = "/applications/{client_id}"


@routes.post(_APPLICATION + "/token")
async def check_token(request: web.Request) -> web.Response:
    """Say whose a token is."""
    core = request.config_dict[CORE]
    token = await _token(core, request)
    app = {"name": "Zekt", "client_id": core.state.app.client_id}
    person = account_json(token.person)
    return web.json_response({"token": token.value, "app": app, "user": person, "expires_at": iso(token.expires_at)})


@routes.delete(_APPLICATION + "/token")
async def revoke_token(request: web.Request) -> web.Response:
    """Revoke one token, and the refresh token that came with it."""
    token = await _token(request.config_dict[CORE], request)
    token.revoked = True
    return web.Response(status=204)


@routes.delete(_APPLICATION + "/grant")
async def revoke_grant(request: web.Request) -> web.Response:
    """Revoke all tokens of the person whose token it is."""
    core = request.config_dict[CORE]
    core.oauth.tokens.revoke_all((await _token(core, request)).person)
    return web.Response(status=204)


async def _token(core: Core, request: web.Request) -> UserToken:
    _require_client(core, request)
    try:
        body = json.loads(await request.read())
    except ValueError:
        raise GitHubError(400, "Problems parsing JSON") from None
    value = body.get("access_token") if isinstance(body, dict) else None
    if not isinstance(value, str):
        raise GitHubError(422, 'Invalid request.\n\n"access_token" wasn\'t supplied.')
    token = core.oauth.tokens.find(value)
    if token is None:
        raise not_found()
    return token


def _require_client(core: Core, request: web.Request) -> None:
    app = core.state.app
    expected = encode_basic_auth(app.client_id, app.client_secret)
    if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), expected.encode()):
        raise bad_credentials()
    if request.match_info["client_id"] != app.client_id:
        raise not_found()
