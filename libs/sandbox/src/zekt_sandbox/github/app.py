"""The aiohttp application: GitHub at the root, the issuer under /oidc, the controls under /_sandbox."""

from aiohttp import web

from zekt_sandbox.github import actions, dispatches, hooks, installations, issuer, repositories
from zekt_sandbox.github.control import build_control_app
from zekt_sandbox.github.core import CORE, Core
from zekt_sandbox.github.gateway import gateway

_MAX_BODY_BYTES = 10 * 2**20


def build_app(core: Core) -> web.Application:
    """The stand-in's routes around its parts."""
    app = web.Application(middlewares=[gateway], client_max_size=_MAX_BODY_BYTES)
    app[CORE] = core
    for module in (dispatches, installations, repositories, actions, hooks, issuer):
        app.add_routes(module.routes)
    app.add_subapp("/_sandbox/", build_control_app(core))
    return app
