"""Control calls that change installations, repositories and accounts, and tell the hooks."""

from aiohttp import web

from zekt_sandbox.github.app_resources import delivery_json
from zekt_sandbox.github.control_body import Body, controls
from zekt_sandbox.github.errors import InvalidControlError
from zekt_sandbox.github.model import HookDelivery
from zekt_sandbox.github.state import ANYBODY

routes = web.RouteTableDef()
_INSTALLATION = r"/installations/{installation_id:\d+}"
_REPOSITORY = "/repositories/{owner}/{repo}"


@routes.post(_INSTALLATION + "/{action:suspend|unsuspend|uninstall}")
async def change_installation(request: web.Request) -> web.Response:
    """Suspend, resume or remove an installation."""
    body, number = await Body.read(request), int(request.match_info["installation_id"])
    by = body.optional("by", default=ANYBODY)
    body.end()
    actions = {
        "suspend": controls(request).suspend_installation,
        "unsuspend": controls(request).unsuspend_installation,
        "uninstall": controls(request).uninstall,
    }
    return _told(await actions[request.match_info["action"]](number, by=by))


@routes.put(_INSTALLATION + "/repositories")
async def select_repositories(request: web.Request) -> web.Response:
    """Choose what an installation reaches."""
    body, number = await Body.read(request), int(request.match_info["installation_id"])
    names, by = body.required("repositories"), body.optional("by", default=ANYBODY)
    body.end()
    return _told(await controls(request).select_repositories(number, names, by=by))


@routes.post(_REPOSITORY + "/{action:archive|unarchive}")
async def archive_repository(request: web.Request) -> web.Response:
    """Archive a repository, or the reverse."""
    body = await Body.read(request)
    by = body.optional("by", default=ANYBODY)
    body.end()
    actions = {
        "archive": controls(request).archive_repository,
        "unarchive": controls(request).unarchive_repository,
    }
    return _told(await actions[request.match_info["action"]](_full_name(request), by=by))


@routes.post(_REPOSITORY + "/rename")
async def rename_repository(request: web.Request) -> web.Response:
    """Rename a repository."""
    body = await Body.read(request)
    name, by = body.required("name"), body.optional("by", default=ANYBODY)
    body.end()
    return _told(await controls(request).rename_repository(_full_name(request), name, by=by))


@routes.post(_REPOSITORY + "/transfer")
async def transfer_repository(request: web.Request) -> web.Response:
    """Give a repository to another account."""
    body = await Body.read(request)
    owner, by = body.required("owner"), body.optional("by", default=ANYBODY)
    body.end()
    return _told(await controls(request).transfer_repository(_full_name(request), owner, by=by))


@routes.delete(_REPOSITORY)
async def delete_repository(request: web.Request) -> web.Response:
    """Delete a repository."""
    return _told(await controls(request).delete_repository(_full_name(request)))


@routes.post("/accounts/{login}/rename")
async def rename_account(request: web.Request) -> web.Response:
    """Give a person or an organisation another login."""
    body = await Body.read(request)
    new_login = body.required("login")
    body.end()
    return _told(await controls(request).rename_account(request.match_info["login"], new_login))


@routes.post("/users/{login}/revoke_authorization")
async def revoke_authorization(request: web.Request) -> web.Response:
    """Let a person take back what they authorised."""
    return _told(await controls(request).revoke_authorization(request.match_info["login"]))


@routes.put("/webhooks")
async def set_sending(request: web.Request) -> web.Response:
    """Send webhooks, or none, so that whoever listens misses what happens."""
    body = await Body.read(request)
    send = body.required("send")
    body.end()
    if not isinstance(send, bool):
        raise InvalidControlError("'send' is true or false")
    controls(request).mute_webhooks(muted=not send)
    return web.json_response({"send": send})


def _full_name(request: web.Request) -> str:
    return "{owner}/{repo}".format_map(request.match_info)


def _told(deliveries: list[HookDelivery]) -> web.Response:
    return web.json_response({"deliveries": [delivery_json(one) for one in deliveries]})
