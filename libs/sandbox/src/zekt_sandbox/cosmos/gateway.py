"""The HTTP front: every request is authorised, struck by the faults that were ordered, and answered."""

import asyncio
from collections import Counter

from aiohttp import web

from zekt_sandbox.cosmos.account import Account
from zekt_sandbox.cosmos.answers import REQUEST_CHARGE, Answer, refused
from zekt_sandbox.cosmos.auth import Authorizer
from zekt_sandbox.cosmos.calls import Call, Operation
from zekt_sandbox.cosmos.errors import CosmosError, bad_request, too_large
from zekt_sandbox.cosmos.faults import Fault, Faults
from zekt_sandbox.cosmos.service import answer
from zekt_sandbox.cosmos.sql.tokens import SqlError

MAX_REQUEST_BYTES = 8 * 2**20
_SERVICE_VERSION = "2018-12-31"


class _DroppedError(Exception):
    """The connection is to be cut without an answer."""


class Gateway:
    """Serves one account; `requests` counts the calls by operation, struck ones too."""

    def __init__(self, account: Account, authorizer: Authorizer, faults: Faults) -> None:
        self.account = account
        self.authorizer = authorizer
        self.faults = faults
        self.requests: Counter[Operation] = Counter()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request of an SDK."""
        if self.faults.is_out:
            return _cut(request)
        try:
            given = await self._answer(request)
        except _DroppedError:
            return _cut(request)
        headers = given.headers
        headers.setdefault(REQUEST_CHARGE, "1.00")
        headers["x-ms-version"] = _SERVICE_VERSION
        headers["x-ms-activity-id"] = request.headers.get("x-ms-activity-id", "")
        return web.Response(
            status=given.status, body=given.text.encode(), headers=headers, content_type="application/json"
        )

    async def _answer(self, request: web.BaseRequest) -> Answer:
        try:
            call = await _read_call(request)
            self.requests[call.operation] += 1
            fault = self.faults.take(call) if self.faults.active else None
            if fault is not None:
                return await self._struck(call, fault)
            return self._carried_out(call)
        except CosmosError as refusal:
            return refused(refusal)

    async def _struck(self, call: Call, fault: Fault) -> Answer:
        await asyncio.sleep(fault.delay_s)
        match fault.kind:
            case "drop_before":
                raise _DroppedError
            case "error":
                return _error(fault)
        given = self._carried_out(call)
        match fault.kind:
            case "drop_after":
                raise _DroppedError
            case "error_after":
                return _error(fault)
        return given

    def _carried_out(self, call: Call) -> Answer:
        try:
            self.authorizer.check(call)
            return answer(self.account, call)
        except SqlError as error:
            return refused(bad_request(str(error)))
        except CosmosError as refusal:
            return refused(refusal)


async def _read_call(request: web.BaseRequest) -> Call:
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large() from None
    return Call.read(request.method, request.raw_path, request.headers, body, f"{request.scheme}://{request.host}")


def _error(fault: Fault) -> Answer:
    given = refused(CosmosError(fault.status, "Injected", "a fault was ordered for this call", fault.substatus))
    if fault.retry_after_ms is not None:
        given.headers["x-ms-retry-after-ms"] = str(fault.retry_after_ms)
    return given


def _cut(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
