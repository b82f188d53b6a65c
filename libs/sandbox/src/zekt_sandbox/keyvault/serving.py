"""`serving`: a key vault on a loopback port, over TLS. For tests and local trials."""

import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from zekt_sandbox.keyvault.control import PREFIX, control
from zekt_sandbox.keyvault.errors import NotLoopbackError
from zekt_sandbox.keyvault.faults import Faults
from zekt_sandbox.keyvault.front import Front
from zekt_sandbox.keyvault.keys import Keys
from zekt_sandbox.keyvault.sandbox import KeyVaultSandbox
from zekt_sandbox.keyvault.tokens import Authorizer


@asynccontextmanager
async def serving(
    tls: ssl.SSLContext, *, host: str = "127.0.0.1", port: int = 0, keys: Keys | None = None
) -> AsyncIterator[KeyVaultSandbox]:
    """Listen until the context ends, with no key at first, or with `keys`, which outlive it; port 0 is a free one.

    Raises:
        NotLoopbackError: the host is not a loopback address.
    """
    if not ipaddress.ip_address(host).is_loopback:
        raise NotLoopbackError(f"the Key Vault stand-in listens on loopback only, not on {host!r}")
    front = Front(keys or Keys(), Authorizer(), Faults())
    sandbox = KeyVaultSandbox(0, front)
    runner = web.ServerRunner(_server(sandbox, front))
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
        sandbox.port = runner.addresses[0][1]
        yield sandbox
    finally:
        await runner.cleanup()


def _server(sandbox: KeyVaultSandbox, front: Front) -> web.Server:
    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith(PREFIX):
            return await control(sandbox, request)
        return await front.serve(request)

    return web.Server(serve, access_log=None)
