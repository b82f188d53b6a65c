"""What surrounds every GitHub request: the raw log of dispatches, faults, rate limits, GitHub's headers."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from functools import partial

from aiohttp import web

from zekt_sandbox.github.conditional import conditional
from zekt_sandbox.github.core import CORE, Core
from zekt_sandbox.github.errors import GitHubError, SandboxError, not_found
from zekt_sandbox.github.faults import Fault
from zekt_sandbox.github.limits import ANONYMOUS, secondary_limit
from zekt_sandbox.github.model import Dispatch

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
DISPATCH = web.RequestKey("dispatch", Dispatch)
_CONTROL = "/_sandbox/"
_WEB = ("/oidc/", "/login/")  # not of the API: no rate limit
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_SERVER_ERROR, _FORBIDDEN, _NOT_MODIFIED = 502, 403, 304
_REQUEST_ID = secrets.token_hex(6).upper()


class _DroppedError(SandboxError):
    """The connection is to be cut without an answer."""


@web.middleware
async def gateway(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Apply what GitHub applies to each request, and the faults that were ordered."""
    path = request.path
    if path.startswith(_CONTROL):
        return await handler(request)
    core = request.config_dict[CORE]
    record = await _record(core, request) if path.endswith("/dispatches") and request.method == "POST" else None
    try:
        response = await _answer(core, request, handler)
    except _DroppedError:
        return _cut(request)
    if record is not None:
        record.status = response.status
    return response


async def _record(core: Core, request: web.Request) -> Dispatch:
    body = await request.read()
    headers = {name: value for name, value in request.headers.items() if name.lower() != "authorization"}
    parts = request.path.split("/")
    record = core.log.open("/".join(parts[2:-1]), core.state.clock.now(), headers, body)
    request[DISPATCH] = record
    return record


async def _answer(core: Core, request: web.Request, handler: Handler) -> web.StreamResponse:
    fault = core.faults.take(request.method, request.path)
    actor = None if request.path.startswith(_WEB) else core.auth.actor(request)
    response: web.StreamResponse
    try:
        response = await _limited(core, request, partial(_struck, fault, handler), actor)
    except GitHubError as refusal:
        response = refusal.response()
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        response = not_found().response()
    _stamp(core, response, actor)
    return response


async def _limited(core: Core, request: web.Request, handler: Handler, actor: str | None) -> web.StreamResponse:
    if actor is None:
        return await handler(request)
    write = request.method not in _READS
    try:
        core.limiter.enter(actor, write=write, content=write and request.path.startswith("/repos/"))
        response = conditional(request, await handler(request))
        if response.status == _NOT_MODIFIED and actor != ANONYMOUS:
            core.limiter.give_back(actor)
        return response
    finally:
        core.limiter.leave(actor)


async def _struck(fault: Fault | None, handler: Handler, request: web.Request) -> web.StreamResponse:
    await _strike_before(fault)
    response = await handler(request)
    _strike_after(fault)
    return response


async def _strike_before(fault: Fault | None) -> None:
    if fault is None:
        return
    await asyncio.sleep(fault.delay_s)
    match fault.kind:
        case "drop_before":
            raise _DroppedError
        case "error":
            raise GitHubError(fault.status or _SERVER_ERROR, "Server Error")
        case "secondary":
            raise secondary_limit(fault.status or _FORBIDDEN, fault.retry_after_s)


def _strike_after(fault: Fault | None) -> None:
    if fault is None:
        return
    if fault.kind == "drop_after":
        raise _DroppedError
    if fault.kind == "error_after":
        raise GitHubError(fault.status or _SERVER_ERROR, "Server Error")


def _stamp(core: Core, response: web.StreamResponse, actor: str | None) -> None:
    response.headers["Server"] = "github.com"
    response.headers["X-GitHub-Request-Id"] = _REQUEST_ID
    if actor is not None:
        response.headers["X-GitHub-Media-Type"] = "github.v3; format=json"
        response.headers.update(core.limiter.headers(actor))


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
