"""The device flow: `/login/device/code` for the device, `/login/device` for the person."""

from aiohttp import web

from zekt_sandbox.github.core import CORE
from zekt_sandbox.github.device_codes import DEVICE_CODE_LIFE_S
from zekt_sandbox.github.errors import UnknownNameError, not_found
from zekt_sandbox.github.login import choice_of_people, find_person
from zekt_sandbox.github.oauth_messages import OAuthError, answer, incorrect_client, read_parameters

routes = web.RouteTableDef()
_DEVICE = "/login/device"


@routes.post(_DEVICE + "/code")
async def create_code(request: web.Request) -> web.Response:
    """A pair of codes for a device, or the refusal, both under status 200."""
    core = request.config_dict[CORE]
    asked = await read_parameters(request)
    try:
        if asked.get("client_id") != core.state.app.client_id:
            raise incorrect_client()
        opened = core.oauth.devices.open()
    except OAuthError as refusal:
        return answer(request, refusal.members())
    codes = {"device_code": opened.device_code, "user_code": opened.user_code}
    verification_uri = str(request.url.origin().with_path(_DEVICE))
    times = {"expires_in": DEVICE_CODE_LIFE_S, "interval": opened.interval_s}
    return answer(request, {**codes, "verification_uri": verification_uri, **times})


@routes.get(_DEVICE)
async def ask(request: web.Request) -> web.Response:
    """Ask a person for the code that their device shows."""
    form = (
        f"<form method=post action={_DEVICE}><input name=user_code placeholder=WDJB-MJHT required>"
        f"{choice_of_people(request.config_dict[CORE])}"
        "<button name=authorize value=1>Authorize</button><button name=authorize value=0>Cancel</button></form>"
    )
    return _page(form)


@routes.post(_DEVICE)
async def decide(request: web.Request) -> web.Response:
    """Take the code and the person's answer."""
    core = request.config_dict[CORE]
    asked = await read_parameters(request)
    person = find_person(core, asked.get("login"))
    if person is None:
        raise not_found()
    authorized = asked.get("authorize") == "1"
    try:
        core.oauth.devices.answer(asked.get("user_code", ""), person if authorized else None)
    except UnknownNameError:
        return _page("<p>No device waits for that code.</p>", status=404)
    return _page("<p>Your device is connected.</p>" if authorized else "<p>Your device was not let in.</p>")


def _page(content: str, status: int = 200) -> web.Response:
    text = f"<!doctype html><title>Device activation</title><h1>GitHub stand-in</h1>{content}"
    return web.Response(text=text, content_type="text/html", status=status)
