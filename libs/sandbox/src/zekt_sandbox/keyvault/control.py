"""The fault switches over HTTP, under /_faults: JSON in, JSON out, for whoever is not in this process."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web

from zekt_sandbox.keyvault.errors import InvalidControlError
from zekt_sandbox.keyvault.sandbox import KeyVaultSandbox

PREFIX = "/_faults"


async def control(sandbox: KeyVaultSandbox, request: web.BaseRequest) -> web.Response:
    """Carry out one control; a refused one is answered 400 with the reason."""
    handler = ROUTES.get((request.method, request.path))
    if handler is None:
        return web.json_response({"error": "unknown", "detail": "no such control"}, status=404)
    try:
        return web.json_response(handler(sandbox, json.loads(await request.read() or b"{}")))
    except (InvalidControlError, TypeError, ValueError) as error:
        return web.json_response({"error": "invalid", "detail": str(error)}, status=400)


def _show(sandbox: KeyVaultSandbox, _body: dict[str, Any]) -> dict[str, Any]:
    return {"faults": [asdict(fault) for fault in sandbox.faults.active], "requests": sandbox.requests}


def _add(sandbox: KeyVaultSandbox, body: dict[str, Any]) -> dict[str, Any]:
    return asdict(sandbox.faults.add(**body))


def _clear(sandbox: KeyVaultSandbox, _body: dict[str, Any]) -> dict[str, Any]:
    sandbox.faults.clear()
    return {}


ROUTES: dict[tuple[str, str], Callable[[KeyVaultSandbox, dict[str, Any]], dict[str, Any]]] = {
    ("GET", PREFIX): _show,
    ("POST", PREFIX): _add,
    ("DELETE", PREFIX): _clear,
}
"""What each control does, by method and path."""
