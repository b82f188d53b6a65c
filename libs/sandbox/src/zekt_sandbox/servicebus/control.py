"""The controls over HTTP, on a port of their own: JSON in, JSON out, for whoever is not in this process."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from zekt_sandbox.servicebus.errors import InvalidControlError
from zekt_sandbox.servicebus.http import Handler
from zekt_sandbox.servicebus.sandbox import ServiceBusSandbox

Control = Callable[..., Awaitable[dict[str, Any]]]


def control_handler(sandbox: ServiceBusSandbox) -> Handler:
    """Return a handler for the controls of a stand-in; a refused one is answered 400 with the reason."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        control = ROUTES.get((request.method, request.path))
        if control is None:
            return web.json_response({"error": "unknown", "detail": "no such control"}, status=404)
        try:
            return web.json_response(await control(sandbox, **await _body(request)))
        except (InvalidControlError, TypeError, ValueError) as error:
            return web.json_response({"error": "invalid", "detail": str(error)}, status=400)

    return handle


async def _body(request: web.BaseRequest) -> dict[str, Any]:
    body = json.loads(await request.read() or b"{}")
    if not isinstance(body, dict):
        raise InvalidControlError("a control's body is a JSON object")
    return body


async def _show(sandbox: ServiceBusSandbox) -> dict[str, Any]:
    return sandbox.view()


async def _show_tokens(sandbox: ServiceBusSandbox) -> dict[str, Any]:
    return {"claims": sandbox.token_claims}


async def _clear_faults(sandbox: ServiceBusSandbox) -> dict[str, Any]:
    sandbox.faults.clear()
    return {}


async def _drop_connections(sandbox: ServiceBusSandbox) -> dict[str, Any]:
    sandbox.drop_connections()
    return {}


async def _detach_links(sandbox: ServiceBusSandbox) -> dict[str, Any]:
    sandbox.detach_links()
    return {}


async def _begin_outage(sandbox: ServiceBusSandbox, seconds: float | None = None) -> dict[str, Any]:
    sandbox.begin_outage(None if seconds is None else float(seconds))
    return {}


async def _end_outage(sandbox: ServiceBusSandbox) -> dict[str, Any]:
    await sandbox.end_outage()
    return {}


async def _lose_answers(sandbox: ServiceBusSandbox, count: int | None = 1) -> dict[str, Any]:
    sandbox.faults.lose_answers(None if count is None else int(count))
    return {}


async def _refuse_sends(sandbox: ServiceBusSandbox, count: int | None = 1) -> dict[str, Any]:
    sandbox.faults.refuse_sends(None if count is None else int(count))
    return {}


async def _slow_down(sandbox: ServiceBusSandbox, seconds: float) -> dict[str, Any]:
    sandbox.faults.slow_down(float(seconds))
    return {}


async def _limit_connections(sandbox: ServiceBusSandbox, count: int) -> dict[str, Any]:
    sandbox.faults.limit_connections(int(count))
    return {}


async def _purge(sandbox: ServiceBusSandbox) -> dict[str, Any]:
    sandbox.purge()
    return {}


async def _advance_clock(sandbox: ServiceBusSandbox, seconds: float) -> dict[str, Any]:
    sandbox.clock.advance(float(seconds))
    return {}


ROUTES: dict[tuple[str, str], Control] = {
    ("GET", "/"): _show,
    ("GET", "/tokens"): _show_tokens,
    ("DELETE", "/faults"): _clear_faults,
    ("POST", "/faults/lost_answers"): _lose_answers,
    ("POST", "/faults/refused_sends"): _refuse_sends,
    ("POST", "/faults/delay"): _slow_down,
    ("POST", "/faults/max_connections"): _limit_connections,
    ("POST", "/connections/drop"): _drop_connections,
    ("POST", "/links/detach"): _detach_links,
    ("POST", "/outage"): _begin_outage,
    ("DELETE", "/outage"): _end_outage,
    ("POST", "/purge"): _purge,
    ("POST", "/clock"): _advance_clock,
}
"""What each control does, by method and path; a body's members are its parameters."""
