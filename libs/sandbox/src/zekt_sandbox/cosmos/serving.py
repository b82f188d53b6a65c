"""`serving`: a Cosmos DB account on a loopback port, for tests and local trials."""

import asyncio
import base64
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict, Unpack

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from zekt_sandbox.cosmos.account import Account
from zekt_sandbox.cosmos.auth import Authorizer
from zekt_sandbox.cosmos.clock import Clock
from zekt_sandbox.cosmos.control import PREFIX, control
from zekt_sandbox.cosmos.errors import NotLoopbackError
from zekt_sandbox.cosmos.faults import Faults
from zekt_sandbox.cosmos.gateway import MAX_REQUEST_BYTES, Gateway
from zekt_sandbox.cosmos.sandbox import CosmosSandbox

DEFAULT_KEY = base64.b64encode(b"zekt-sandbox: for tests and local trials only".ljust(64, b".")).decode()
"""The account key of a stand-in that was given none; everyone knows it."""


class CosmosOptions(TypedDict, total=False):
    """How a stand-in starts: on a free port, with one key range per container and one write region.

    Entra ID tokens are refused unless `token_audience` says whom they must be meant for; `tls` serves https, without
    which SDKs send no tokens.
    """

    host: str
    port: int
    key: str
    key_ranges: int
    write_regions: tuple[str, ...]
    token_audience: str | None
    tls: ssl.SSLContext | None


@asynccontextmanager
async def serving(**options: Unpack[CosmosOptions]) -> AsyncIterator[CosmosSandbox]:
    """Listen until the context ends.

    Raises:
        NotLoopbackError: the host is not a loopback address.
        ValueError: the key is no base64.
    """
    host, tls = options.get("host", "127.0.0.1"), options.get("tls")
    if not _is_loopback(host):
        raise NotLoopbackError(f"the Cosmos DB stand-in listens on loopback only, not on {host!r}")
    key = options.get("key", DEFAULT_KEY)
    gateway = Gateway(_account(options), Authorizer(key, options.get("token_audience")), Faults())
    sandbox = CosmosSandbox("", key, gateway)
    runner = web.ServerRunner(_server(sandbox, gateway))
    await runner.setup()
    try:
        await web.TCPSite(runner, host, options.get("port", 0), ssl_context=tls, backlog=1024).start()
        sandbox.url = f"{'http' if tls is None else 'https'}://{host}:{runner.addresses[0][1]}"
        yield sandbox
    finally:
        await runner.cleanup()


def _account(options: CosmosOptions) -> Account:
    regions = options.get("write_regions", ("Local",))
    return Account(Clock(), range_count=options.get("key_ranges", 1), write_regions=regions)


def _server(sandbox: CosmosSandbox, gateway: Gateway) -> web.Server:
    """A bare server: SDK requests are told apart by headers as much as by path, so a router has no part in it."""

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith(PREFIX):
            return await control(sandbox, request)
        return await gateway.serve(request)

    return web.Server(serve, request_factory=_large_request, access_log=None)


def _large_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_REQUEST_BYTES)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
