"""The App itself, its installations, and their tokens."""

import json
from typing import Any

from aiohttp import web

from zekt_sandbox.github.app_resources import app_json, installation_json
from zekt_sandbox.github.auth import issue_token
from zekt_sandbox.github.clock import iso
from zekt_sandbox.github.core import CORE, Core
from zekt_sandbox.github.errors import GitHubError, not_found
from zekt_sandbox.github.model import Installation, InstallationToken, Repository
from zekt_sandbox.github.pages import page
from zekt_sandbox.github.resources import repository_json

routes = web.RouteTableDef()
_MOST_REPOSITORIES = 500
_FOREIGN = "There is at least one repository that does not exist or is not accessible to the parent installation."


@routes.get("/app")
async def get_app(request: web.Request) -> web.Response:
    """The authenticated App."""
    core = request.config_dict[CORE]
    core.auth.require_app(request)
    return web.json_response(app_json(core.state.app, len(core.state.installations)))


@routes.get("/app/installations")
async def list_installations(request: web.Request) -> web.Response:
    """The App's installations."""
    core = request.config_dict[CORE]
    core.auth.require_app(request)
    found = list(core.state.installations.values())
    return page(request, found, lambda one: installation_json(one, core.state.app))


@routes.get(r"/app/installations/{installation_id:\d+}")
async def get_installation(request: web.Request) -> web.Response:
    """One installation by id."""
    core = request.config_dict[CORE]
    return web.json_response(installation_json(_installation(core, request), core.state.app))


@routes.get("/repos/{owner}/{repo}/installation")
async def get_repository_installation(request: web.Request) -> web.Response:
    """The installation that covers a repository."""
    core = request.config_dict[CORE]
    core.auth.require_app(request)
    found = core.state.installation_of(core.auth.named_repository(request))
    if found is None:
        raise not_found()
    return web.json_response(installation_json(found, core.state.app))


@routes.get("/orgs/{login}/installation")
@routes.get("/users/{login}/installation")
async def get_account_installation(request: web.Request) -> web.Response:
    """The installation in an account."""
    core = request.config_dict[CORE]
    core.auth.require_app(request)
    login = request.match_info["login"].lower()
    found = next((one for one in core.state.installations.values() if one.account.login.lower() == login), None)
    if found is None:
        raise not_found()
    return web.json_response(installation_json(found, core.state.app))


@routes.post(r"/app/installations/{installation_id:\d+}/access_tokens")
async def create_access_token(request: web.Request) -> web.Response:
    """A token for an installation, scoped down on request."""
    core = request.config_dict[CORE]
    installation = _installation(core, request)
    if installation.suspended_at is not None:
        raise GitHubError(403, "This installation has been suspended")
    wanted = _json_object(await request.read())
    repositories = _wanted_repositories(core, installation, wanted)
    permissions = _wanted_permissions(installation, wanted.get("permissions"))
    ids = None if repositories is None else frozenset(found.id for found in repositories)
    token = issue_token(core.state, installation, permissions=permissions, repository_ids=ids)
    return web.json_response(_token_json(token, repositories), status=201)


@routes.get("/installation/repositories")
async def list_installation_repositories(request: web.Request) -> web.Response:
    """The repositories that the caller's token reaches."""
    core = request.config_dict[CORE]
    token = core.auth.require_token(request)
    return page(request, core.state.covered_by(token), repository_json, "repositories")


@routes.delete("/installation/token")
async def revoke_token(request: web.Request) -> web.Response:
    """Revoke the caller's own token."""
    request.config_dict[CORE].auth.require_token(request).revoked = True
    return web.Response(status=204)


def _installation(core: Core, request: web.Request) -> Installation:
    core.auth.require_app(request)
    found = core.state.installations.get(int(request.match_info["installation_id"]))
    if found is None:
        raise not_found()
    return found


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body) if body else {}
    except ValueError:
        raise GitHubError(400, "Problems parsing JSON") from None
    if not isinstance(parsed, dict):
        raise GitHubError(400, "Body should be a JSON object")
    return parsed


def _wanted_repositories(core: Core, installation: Installation, wanted: dict[str, Any]) -> list[Repository] | None:
    names, ids = wanted.get("repositories"), wanted.get("repository_ids")
    if names is None and ids is None:
        return None if installation.selected is None else core.state.covered_by(installation)
    if not isinstance(names or [], list) or not isinstance(ids or [], list):
        raise GitHubError(422, "Invalid request.\n\nFor 'properties/repositories', the value is not an array.")
    covered = core.state.covered_by(installation)
    by_name = {found.name.lower(): found for found in covered}
    by_id = {found.id: found for found in covered}
    chosen = [by_name.get(str(name).lower()) for name in names or []] + [by_id.get(one) for one in ids or []]
    found = [repository for repository in chosen if repository is not None]
    if len(found) != len(chosen) or len(found) > _MOST_REPOSITORIES:
        raise GitHubError(422, _FOREIGN)
    return found


def _wanted_permissions(installation: Installation, wanted: Any) -> dict[str, str]:
    if wanted is None:
        return installation.permissions
    if not isinstance(wanted, dict) or not all(installation.grants(name, str(level)) for name, level in wanted.items()):
        raise GitHubError(422, "The permissions requested are not granted to this installation.")
    return {**wanted, "metadata": "read"}


def _token_json(token: InstallationToken, repositories: list[Repository] | None) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "token": token.value,
        "expires_at": iso(token.expires_at),
        "permissions": token.permissions,
        "repository_selection": "all" if repositories is None else "selected",
    }
    if repositories is not None:
        shown["repositories"] = [repository_json(found) for found in repositories]
    return shown
