"""The fault switches over HTTP, under /_faults: JSON in, JSON out, for whoever is not in this process."""

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from zekt_sandbox.cosmos.errors import CosmosError, InvalidControlError
from zekt_sandbox.cosmos.sandbox import CosmosSandbox

PREFIX = "/_faults"


async def control(sandbox: CosmosSandbox, request: web.BaseRequest) -> web.Response:
    """Carry out one control; a refused one is answered 400 with the reason."""
    handler = ROUTES.get((request.method, request.path))
    if handler is None:
        return web.json_response({"error": "unknown", "detail": "no such control"}, status=404)
    try:
        body = json.loads(await request.read() or b"{}")
        return web.json_response(handler(sandbox, body))
    except CosmosError as error:
        return _invalid(error.message)
    except (InvalidControlError, KeyError, TypeError, ValueError) as error:
        return _invalid(str(error))


def _invalid(detail: str) -> web.Response:
    return web.json_response({"error": "invalid", "detail": detail}, status=400)


def _show(sandbox: CosmosSandbox, _body: dict[str, Any]) -> dict[str, Any]:
    return {"faults": [fault.view() for fault in sandbox.faults.active], "requests": sandbox.requests}


def _add(sandbox: CosmosSandbox, body: dict[str, Any]) -> dict[str, Any]:
    return sandbox.faults.add(**body).view()


def _clear(sandbox: CosmosSandbox, _body: dict[str, Any]) -> dict[str, Any]:
    sandbox.faults.clear()
    return {}


def _begin_outage(sandbox: CosmosSandbox, body: dict[str, Any]) -> dict[str, Any]:
    sandbox.faults.begin_outage(float(body["seconds"]))
    return {}


def _split(sandbox: CosmosSandbox, body: dict[str, Any]) -> dict[str, Any]:
    return {"ranges": sandbox.split(body["database"], body["container"], body.get("range"))}


def _advance_clock(sandbox: CosmosSandbox, body: dict[str, Any]) -> dict[str, Any]:
    sandbox.clock.advance(float(body["seconds"]))
    return {}


def _set_clock(sandbox: CosmosSandbox, body: dict[str, Any]) -> dict[str, Any]:
    at = body["at"]
    sandbox.clock.stand(None if at is None else float(at))
    return {}


def _set_write_regions(sandbox: CosmosSandbox, body: dict[str, Any]) -> dict[str, Any]:
    sandbox.write_regions = tuple(body["regions"])
    return {}


ROUTES: dict[tuple[str, str], Callable[[CosmosSandbox, dict[str, Any]], dict[str, Any]]] = {
    ("GET", PREFIX): _show,
    ("POST", PREFIX): _add,
    ("DELETE", PREFIX): _clear,
    ("POST", f"{PREFIX}/outage"): _begin_outage,
    ("POST", f"{PREFIX}/split"): _split,
    ("POST", f"{PREFIX}/clock"): _advance_clock,
    ("PUT", f"{PREFIX}/clock"): _set_clock,
    ("PUT", f"{PREFIX}/write_regions"): _set_write_regions,
}
"""What each control does, by method and path."""
