"""The controls over HTTP, under /_sandbox/: JSON in, JSON out, for whoever is not in this process."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from zekt_sandbox.github import control_directory, control_lifecycle, control_people, control_traffic
from zekt_sandbox.github.control_body import CONTROLS, Body, controls
from zekt_sandbox.github.controls import Controls
from zekt_sandbox.github.core import CORE, Core
from zekt_sandbox.github.errors import InvalidControlError, UnknownNameError

routes = web.RouteTableDef()
_ROUTES = (
    routes,
    control_directory.routes,
    control_lifecycle.routes,
    control_people.routes,
    control_traffic.routes,
)


@web.middleware
async def answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn a refused control into a JSON answer."""
    try:
        return await handler(request)
    except UnknownNameError as error:
        return web.json_response({"error": "unknown", "detail": str(error)}, status=404)
    except (InvalidControlError, TypeError, ValueError, AttributeError) as error:
        return web.json_response({"error": "invalid", "detail": str(error)}, status=400)


@routes.get("/credentials")
async def get_credentials(request: web.Request) -> web.Response:
    """What a suite needs to be this App."""
    core = request.config_dict[CORE]
    app = core.state.app
    return web.json_response(
        {
            "app_id": app.id,
            "client_id": app.client_id,
            "client_secret": app.client_secret,
            "callback_urls": list(app.callback_urls),
            "private_key": app.private_key_pem,
            "webhook_secret": app.webhook_secret,
            "webhook_url": app.webhook_url,
            "issuer": core.oidc.url,
        }
    )


@routes.put("/webhook_url")
async def set_webhook_url(request: web.Request) -> web.Response:
    """Point the App's hook elsewhere; null sends no webhooks."""
    body = await Body.read(request)
    url = body.required("url")
    body.end()
    request.config_dict[CORE].state.app.webhook_url = url
    return web.json_response({"url": url})


@routes.post("/settle")
async def settle(request: web.Request) -> web.Response:
    """Wait for what goes on in the background."""
    await controls(request).settle()
    return web.Response(status=204)


@routes.post("/reset")
async def reset(request: web.Request) -> web.Response:
    """Forget everything but the App."""
    controls(request).reset()
    return web.Response(status=204)


def build_control_app(core: Core) -> web.Application:
    """The control routes around a stand-in's parts."""
    app = web.Application(middlewares=[answer_errors])
    app[CONTROLS] = Controls(core)
    for module_routes in _ROUTES:
        app.add_routes(module_routes)
    return app
