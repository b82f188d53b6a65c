"""The OIDC issuer's two public documents."""

from aiohttp import web

from zekt_sandbox.github.core import CORE

routes = web.RouteTableDef()


@routes.get("/oidc/.well-known/openid-configuration")
async def get_discovery(request: web.Request) -> web.Response:
    """The OpenID configuration."""
    return web.json_response(request.config_dict[CORE].oidc.discovery())


@routes.get("/oidc/.well-known/jwks")
async def get_jwks(request: web.Request) -> web.Response:
    """The published signing keys."""
    return web.json_response(request.config_dict[CORE].oidc.jwks())
