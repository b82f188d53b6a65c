"""The tenant's doors over HTTP, where faults strike first and everything that comes in is counted."""

from collections import Counter
from collections.abc import Awaitable, Callable

from aiohttp import web

from zekt_sandbox.entra.cluster import Cluster
from zekt_sandbox.entra.errors import EntraError, unknown_tenant
from zekt_sandbox.entra.faults import Faults, Operation
from zekt_sandbox.entra.metadata_endpoint import managed_identity
from zekt_sandbox.entra.tenant import Tenant
from zekt_sandbox.entra.token_endpoint import grant

_Handler = Callable[[web.Request], Awaitable[web.Response]]


class Gateway:
    """Serves one tenant; every other one is unknown."""

    def __init__(self, tenant: Tenant, cluster: Cluster) -> None:
        self.tenant = tenant
        self.cluster = cluster
        self.faults = Faults()
        self.requests: Counter[Operation] = Counter()

    def app(self) -> web.Application:
        """The doors as an application."""
        app = web.Application()
        app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", self._door("discovery", self._discovery))
        app.router.add_get("/{tenant}/discovery/v2.0/keys", self._door("keys", self._keys))
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._door("token", self._token))
        metadata = self._door("managed_identity", self._managed_identity)
        app.router.add_get("/metadata/identity/oauth2/token", metadata)
        return app

    def _door(self, operation: Operation, handler: _Handler) -> _Handler:
        async def serve(request: web.Request) -> web.Response:
            self.requests[operation] += 1
            struck = await self.faults.strike(operation, request)
            if struck is not None:
                return struck
            try:
                if request.match_info.get("tenant", self.tenant.id) != self.tenant.id:
                    raise unknown_tenant()
                return await handler(request)
            except EntraError as error:
                return web.json_response(error.view(), status=error.status)

        return serve

    async def _discovery(self, _request: web.Request) -> web.Response:
        root = f"{self.tenant.url}/{self.tenant.id}"
        document = {
            "issuer": self.tenant.issuer,
            "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
            "token_endpoint": f"{root}/oauth2/v2.0/token",
            "jwks_uri": f"{root}/discovery/v2.0/keys",
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        }
        return web.json_response(document)

    async def _keys(self, _request: web.Request) -> web.Response:
        published = self.tenant.keys.jwks()["keys"]
        return web.json_response({"keys": [key | {"issuer": self.tenant.issuer} for key in published]})

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        return web.json_response(grant(self.tenant, self.cluster, form))

    async def _managed_identity(self, request: web.Request) -> web.Response:
        return web.json_response(managed_identity(self.tenant, request.headers, request.query))
