"""The HTTP front: every request is challenged, struck by the faults that were ordered, and answered."""

import asyncio
import json
from collections import Counter
from typing import Any

from aiohttp import web

from zekt_sandbox.keyvault.errors import VaultError, bad_parameter
from zekt_sandbox.keyvault.faults import Fault, Faults
from zekt_sandbox.keyvault.keys import Keys
from zekt_sandbox.keyvault.operations import Call, carried_out, error_of
from zekt_sandbox.keyvault.tokens import CHALLENGE, Authorizer


class _DroppedError(Exception):
    """The connection is to be cut without an answer."""


class Front:
    """Serves one vault; `requests` counts the calls by operation, challenged and struck ones too."""

    def __init__(self, keys: Keys, authorizer: Authorizer, faults: Faults) -> None:
        self.keys = keys
        self.authorizer = authorizer
        self.faults = faults
        self.requests: Counter[str] = Counter()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request of the SDK."""
        try:
            return await self._answer(request)
        except VaultError as refusal:
            challenge = {"WWW-Authenticate": CHALLENGE} if refusal.status == web.HTTPUnauthorized.status_code else {}
            return web.json_response(error_of(refusal), status=refusal.status, headers=challenge)
        except _DroppedError:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        operation, key, version = _addressed(request)
        self.requests[operation] += 1
        self.authorizer.check(request.headers.get("Authorization", ""))
        body = await _body(request)
        call = Call(operation, f"{request.scheme}://{request.host}", key, version, body)
        fault = self.faults.take(operation)
        if fault is not None:
            return await self._struck(call, fault)
        return web.json_response(carried_out(self.keys, call))

    async def _struck(self, call: Call, fault: Fault) -> web.Response:
        await asyncio.sleep(fault.delay_s)
        match fault.kind:
            case "drop_before":
                raise _DroppedError
            case "error":
                return _error(fault)
        answer = carried_out(self.keys, call)
        if fault.kind == "drop_after":
            raise _DroppedError
        return web.json_response(answer)


def _addressed(request: web.BaseRequest) -> tuple[str, str, str]:
    """Return the operation, the key and its version, empty where none is named."""
    match request.method, request.path.strip("/").split("/"):
        case "GET", ["keys", key, "versions"]:
            return "versions", key, ""
        case "GET", ["keys", key, *version] if len(version) <= 1:
            return "get", key, "".join(version)
        case "POST", ["keys", key, ("create" | "rotate") as operation]:
            return operation, key, ""
        case "POST", ["keys", key, version, ("wrapkey" | "unwrapkey") as operation]:
            return operation, key, version
        case "PATCH", ["keys", key, version]:
            return "update", key, version
    raise VaultError(404, "NotFound", "There is no such resource in this stand-in.")


async def _body(request: web.BaseRequest) -> dict[str, Any]:
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        raise bad_parameter("The body is no JSON.") from None
    if not isinstance(body, dict):
        raise bad_parameter("The body is no JSON object.")
    return body


def _error(fault: Fault) -> web.Response:
    headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
    refusal = VaultError(fault.status, "Injected", "a fault was ordered for this call")
    return web.json_response(error_of(refusal), status=fault.status, headers=headers)
