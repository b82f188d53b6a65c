"""`serving`: an Entra ID tenant on a loopback port, over TLS, for tests and local trials."""

import ipaddress
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict, Unpack

from aiohttp import web

from zekt_sandbox.entra.certificates import LocalAuthority
from zekt_sandbox.entra.cluster import Cluster
from zekt_sandbox.entra.errors import NotLoopbackError
from zekt_sandbox.entra.gateway import Gateway
from zekt_sandbox.entra.sandbox import EntraSandbox
from zekt_sandbox.entra.tenant import Tenant, TokenVersion


class EntraOptions(TypedDict, total=False):
    """How a stand-in starts: on a free port, with ids made up, and access tokens of version 2.0."""

    host: str
    port: int
    tenant_id: str
    api_id: str
    token_version: TokenVersion


@asynccontextmanager
async def serving(**options: Unpack[EntraOptions]) -> AsyncIterator[EntraSandbox]:
    """Listen until the context ends; the CA's file goes with it.

    Raises:
        NotLoopbackError: the host is not a loopback address.
    """
    host = options.get("host", "127.0.0.1")
    if not _is_loopback(host):
        raise NotLoopbackError(f"the Entra ID stand-in listens on loopback only, not on {host!r}")
    gateway = Gateway(_tenant(options), Cluster())
    runner = web.AppRunner(gateway.app(), access_log=None, handler_cancellation=True, shutdown_timeout=1)
    with tempfile.TemporaryDirectory(prefix="zekt-entra-") as directory:
        authority = LocalAuthority(Path(directory))
        await runner.setup()
        try:
            tls = authority.server_context()
            await web.TCPSite(runner, host, options.get("port", 0), ssl_context=tls).start()
            gateway.tenant.url = f"https://{host}:{runner.addresses[0][1]}"
            yield EntraSandbox(gateway, authority.ca_file)
        finally:
            await runner.cleanup()


def _tenant(options: EntraOptions) -> Tenant:
    tenant_id, api_id = options.get("tenant_id") or str(uuid.uuid4()), options.get("api_id") or str(uuid.uuid4())
    return Tenant(tenant_id, api_id, options.get("token_version", "2.0"))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
