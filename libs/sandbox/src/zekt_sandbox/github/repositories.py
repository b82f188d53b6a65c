"""Accounts and repositories, as far as the caller may see them."""

from aiohttp import web

from zekt_sandbox.github.auth import bearer
from zekt_sandbox.github.core import CORE
from zekt_sandbox.github.errors import UnknownNameError, not_found
from zekt_sandbox.github.model import Account
from zekt_sandbox.github.resources import account_json, organization_json, repository_json

routes = web.RouteTableDef()


@routes.get("/users/{login}")
async def get_user(request: web.Request) -> web.Response:
    """A user or an organisation."""
    return web.json_response(account_json(_account(request)))


@routes.get("/orgs/{login}")
async def get_organization(request: web.Request) -> web.Response:
    """An organisation; users are not found here."""
    account = _account(request)
    if account.type != "Organization":
        raise not_found()
    return web.json_response({**organization_json(account), "type": account.type})


@routes.get("/repos/{owner}/{repo}")
@routes.get(r"/repositories/{repository_id:\d+}")
async def get_repository(request: web.Request) -> web.Response:
    """A repository that is public or that the caller's token reaches."""
    core = request.config_dict[CORE]
    token = core.auth.require_token(request) if bearer(request) is not None else None
    repository = core.auth.named_repository(request)
    if repository.private and (token is None or not token.covers(repository)):
        raise not_found()
    return web.json_response(repository_json(repository))


def _account(request: web.Request) -> Account:
    try:
        return request.config_dict[CORE].state.account(request.match_info["login"])
    except UnknownNameError:
        raise not_found() from None
