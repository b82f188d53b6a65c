"""Control calls over what exists."""

from typing import Any

from aiohttp import web

from zekt_sandbox.github.app_resources import hook_json, installation_json
from zekt_sandbox.github.control_body import Body, controls
from zekt_sandbox.github.core import CORE
from zekt_sandbox.github.directory import InstallationChanges, RepositoryChanges, RepositoryOptions
from zekt_sandbox.github.model import Installation
from zekt_sandbox.github.resources import account_json, enterprise_json, repository_json, workflow_json

routes = web.RouteTableDef()
_CREATED = 201
_INSTALLATION = r"/installations/{installation_id:\d+}"


@routes.post("/organizations")
async def create_organization(request: web.Request) -> web.Response:
    """Create an organisation."""
    body = await Body.read(request)
    login, number = body.required("login"), body.optional("id")
    body.end()
    return web.json_response(account_json(controls(request).create_organization(login, id=number)), status=_CREATED)


@routes.post("/enterprises")
async def create_enterprise(request: web.Request) -> web.Response:
    """Create an enterprise."""
    body = await Body.read(request)
    slug, number = body.required("slug"), body.optional("id")
    body.end()
    return web.json_response(enterprise_json(controls(request).create_enterprise(slug, id=number)), status=_CREATED)


@routes.post("/repositories")
async def create_repository(request: web.Request) -> web.Response:
    """Create a repository, and its organisation if need be."""
    body = await Body.read(request)
    full_name, number = body.required("full_name"), body.optional("id")
    repository = controls(request).create_repository(full_name, id=number, **body.rest(RepositoryOptions))
    return web.json_response(repository_json(repository), status=_CREATED)


@routes.patch("/repositories/{owner}/{repo}")
async def update_repository(request: web.Request) -> web.Response:
    """Change a repository."""
    body = await Body.read(request)
    full_name = "{owner}/{repo}".format_map(request.match_info)
    return web.json_response(
        repository_json(controls(request).update_repository(full_name, **body.rest(RepositoryChanges)))
    )


@routes.put("/repositories/{owner}/{repo}/reaction")
async def set_reaction(request: web.Request) -> web.Response:
    """Choose the run that an accepted dispatch starts."""
    body = await Body.read(request)
    full_name = "{owner}/{repo}".format_map(request.match_info)
    workflow, conclusion = body.required("workflow"), body.optional("conclusion", default="success")
    body.end()
    controls(request).react_to_dispatches(full_name, workflow, conclusion=conclusion)
    return web.json_response({"workflow": workflow, "conclusion": conclusion})


@routes.post("/workflows")
async def create_workflow(request: web.Request) -> web.Response:
    """Create a workflow."""
    body = await Body.read(request)
    full_name, path, name = body.required("repository"), body.required("path"), body.optional("name")
    body.end()
    workflow = controls(request).create_workflow(full_name, path, name=name)
    repository = request.config_dict[CORE].state.repository(full_name)
    return web.json_response(workflow_json(workflow, repository), status=_CREATED)


@routes.post("/installations")
async def create_installation(request: web.Request) -> web.Response:
    """Install the App in an account."""
    body = await Body.read(request)
    login, number = body.required("account"), body.optional("id")
    repositories, permissions = body.optional("repositories"), body.optional("permissions")
    send = body.optional("send", default=False)
    body.end()
    installation = controls(request).create_installation(
        login, repositories=repositories, permissions=permissions, id=number
    )
    if send:
        await controls(request).announce_installation(installation.id)
    return web.json_response(_shown(request, installation), status=_CREATED)


@routes.patch(_INSTALLATION)
async def update_installation(request: web.Request) -> web.Response:
    """Change an installation."""
    body, number = await Body.read(request), int(request.match_info["installation_id"])
    installation = controls(request).update_installation(number, **body.rest(InstallationChanges))
    return web.json_response(_shown(request, installation))


@routes.delete(_INSTALLATION)
async def delete_installation(request: web.Request) -> web.Response:
    """Uninstall the App."""
    controls(request).delete_installation(int(request.match_info["installation_id"]))
    return web.Response(status=204)


@routes.post("/hooks")
async def create_repository_hook(request: web.Request) -> web.Response:
    """Create a webhook of one repository."""
    body = await Body.read(request)
    full_name, url, secret = body.required("repository"), body.required("url"), body.required("secret")
    body.end()
    hook = controls(request).create_repository_hook(full_name, url=url, secret=secret)
    return web.json_response(hook_json(hook), status=_CREATED)


def _shown(request: web.Request, installation: Installation) -> dict[str, Any]:
    return installation_json(installation, request.config_dict[CORE].state.app)
