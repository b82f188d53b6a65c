"""Control calls over people."""

from aiohttp import web

from zekt_sandbox.github.control_body import Body, controls
from zekt_sandbox.github.core import CORE
from zekt_sandbox.github.errors import InvalidControlError
from zekt_sandbox.github.login_tokens import token_json
from zekt_sandbox.github.people_controls import DeviceFlowOptions, PersonOptions, UserTokenOptions
from zekt_sandbox.github.resources import account_json

routes = web.RouteTableDef()
_CREATED = 201


@routes.post("/users")
async def create_user(request: web.Request) -> web.Response:
    """Create a user."""
    body = await Body.read(request)
    login = body.required("login")
    return web.json_response(
        account_json(controls(request).create_user(login, **body.rest(PersonOptions))), status=_CREATED
    )


@routes.put("/organizations/{organization}/members/{login}")
async def set_membership(request: web.Request) -> web.Response:
    """Make a person an admin or a member of an organisation, or neither."""
    body = await Body.read(request)
    membership = body.required("membership")
    body.end()
    controls(request).set_membership(request.match_info["organization"], request.match_info["login"], membership)
    return web.Response(status=204)


@routes.put("/repositories/{owner}/{repo}/collaborators/{login}")
async def set_permission(request: web.Request) -> web.Response:
    """Give a person a permission in one repository."""
    body = await Body.read(request)
    permission = body.required("permission")
    body.end()
    full_name = "{owner}/{repo}".format_map(request.match_info)
    controls(request).set_permission(full_name, request.match_info["login"], permission)
    return web.Response(status=204)


@routes.post("/user_tokens")
async def mint_user_token(request: web.Request) -> web.Response:
    """Sign a person in without a browser."""
    body = await Body.read(request)
    login = body.required("login")
    body.end()
    return web.json_response(token_json(controls(request).mint_user_token(login)), status=_CREATED)


@routes.put("/user_token_life")
async def set_user_token_life(request: web.Request) -> web.Response:
    """Let user access tokens live shorter or longer."""
    body = await Body.read(request)
    controls(request).set_user_token_life(**body.rest(UserTokenOptions))
    return web.Response(status=204)


@routes.put("/callback_urls")
async def set_callback_urls(request: web.Request) -> web.Response:
    """Register the App's callback URLs."""
    body = await Body.read(request)
    urls = body.required("urls")
    body.end()
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise InvalidControlError("'urls' is a list of strings")
    controls(request).set_callback_urls(urls)
    return web.json_response({"urls": list(request.config_dict[CORE].state.app.callback_urls)})


@routes.put("/device_flow")
async def set_device_flow(request: web.Request) -> web.Response:
    """Allow the device flow or not, and pace it."""
    body = await Body.read(request)
    controls(request).set_device_flow(**body.rest(DeviceFlowOptions))
    return web.Response(status=204)


@routes.post("/device")
async def answer_device(request: web.Request) -> web.Response:
    """Type in a device's code as a person."""
    body = await Body.read(request)
    user_code, login, authorize = (
        body.required("user_code"),
        body.required("login"),
        body.optional("authorize", default=True),
    )
    body.end()
    controls(request).answer_device(user_code, login, authorize=authorize)
    return web.Response(status=204)
