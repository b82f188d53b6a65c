"""What a person sees of themselves and of the App: `/user`, their installations, their repositories in each."""

from typing import Any

from aiohttp import web

from zekt_sandbox.github.app_resources import installation_json
from zekt_sandbox.github.core import CORE, Core
from zekt_sandbox.github.errors import GitHubError, not_found
from zekt_sandbox.github.model import Account, Installation, Repository
from zekt_sandbox.github.pages import page
from zekt_sandbox.github.resources import account_json, permissions_json, repository_json, user_json

routes = web.RouteTableDef()


@routes.get("/user")
async def get_user(request: web.Request) -> web.Response:
    """The person whose token it is."""
    return web.json_response(user_json(request.config_dict[CORE].auth.require_user(request)))


@routes.get(r"/user/{account_id:\d+}")
async def get_account(request: web.Request) -> web.Response:
    """Any account by its id, whatever it is called now."""
    core, number = request.config_dict[CORE], int(request.match_info["account_id"])
    core.auth.caller(request)
    found = next((account for account in core.state.accounts.values() if account.id == number), None)
    if found is None:
        raise not_found()
    return web.json_response(account_json(found))


@routes.get("/user/installations")
async def list_installations(request: web.Request) -> web.Response:
    """The App's installations that the person may see, suspended ones too."""
    core = request.config_dict[CORE]
    person = core.auth.require_user(request)
    found = [one for one in core.state.installations.values() if _sees(core, person, one)]
    return page(request, found, lambda one: installation_json(one, core.state.app), "installations")


@routes.get(r"/user/installations/{installation_id:\d+}/repositories")
async def list_repositories(request: web.Request) -> web.Response:
    """The repositories that both the person and the installation reach."""
    core = request.config_dict[CORE]
    person = core.auth.require_user(request)
    installation = core.state.installations.get(int(request.match_info["installation_id"]))
    if installation is None or not _sees(core, person, installation):
        raise not_found()
    if installation.suspended_at is not None:
        raise GitHubError(403, "This installation has been suspended")
    return page(
        request, _shared(core, person, installation), lambda one: _with_permissions(core, person, one), "repositories"
    )


def _sees(core: Core, person: Account, installation: Installation) -> bool:
    return core.state.people.belongs_to(person, installation.account) or bool(_shared(core, person, installation))


def _shared(core: Core, person: Account, installation: Installation) -> list[Repository]:
    return [one for one in core.state.covered_by(installation) if core.state.people.holds(person, one, "read")]


def _with_permissions(core: Core, person: Account, repository: Repository) -> dict[str, Any]:
    permission = core.state.people.permission(person, repository)
    return {**repository_json(repository), "permissions": permissions_json(permission)}
