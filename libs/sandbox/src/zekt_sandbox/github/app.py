"""The aiohttp application: GitHub at the root, the issuer under /oidc, the controls under /_sandbox."""

from aiohttp import web

from zekt_sandbox.github import (
    actions,
    applications,
    dispatches,
    hooks,
    installations,
    issuer,
    login,
    login_device,
    login_tokens,
    repositories,
    repository_hooks,
    users,
)
from zekt_sandbox.github.control import build_control_app
from zekt_sandbox.github.core import CORE, Core
from zekt_sandbox.github.gateway import gateway

_MAX_BODY_BYTES = 10 * 2**20
_API = (dispatches, installations, repositories, users, actions, hooks, repository_hooks, applications)
_WEB = (login, login_tokens, login_device, issuer)
_ROUTES = [module.routes for module in (*_API, *_WEB)]


def build_app(core: Core) -> web.Application:
    """The stand-in's routes around its parts."""
    app = web.Application(middlewares=[gateway], client_max_size=_MAX_BODY_BYTES)
    app[CORE] = core
    for routes in _ROUTES:
        app.add_routes(routes)
    app.add_subapp("/_sandbox/", build_control_app(core))
    return app
