"""Accounts and repositories, as far as the caller may see them."""

from aiohttp import web

from zekt_sandbox.github.core import CORE
from zekt_sandbox.github.errors import UnknownNameError, not_found
from zekt_sandbox.github.model import Account
from zekt_sandbox.github.resources import account_json, organization_json, permissions_json, repository_json

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
    repository = core.auth.visible_repository(request)
    shown = repository_json(repository)
    person = core.auth.person(request)
    if person is not None:
        shown["permissions"] = permissions_json(core.state.people.permission(person, repository))
    return web.json_response(shown)


@routes.get("/repos/{owner}/{repo}/collaborators/{login}/permission")
async def get_permission(request: web.Request) -> web.Response:
    """What a person may do in a repository; `none` for who has nothing to do with it."""
    core = request.config_dict[CORE]
    repository = core.auth.repository(request, "metadata", "read")
    person = _account(request)
    permission = core.state.people.permission(person, repository)
    shown = {**account_json(person), "permissions": permissions_json(permission), "role_name": permission}
    return web.json_response({"permission": permission, "role_name": permission, "user": shown})


def _account(request: web.Request) -> Account:
    try:
        return request.config_dict[CORE].state.account(request.match_info["login"])
    except UnknownNameError:
        raise not_found() from None
