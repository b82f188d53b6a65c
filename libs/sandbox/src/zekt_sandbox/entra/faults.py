"""Faults to order: what goes wrong, on which operation, and how many times."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

FaultKind = Literal["error", "garbage", "redirect", "refuse", "slow"]
Operation = Literal["discovery", "keys", "token", "managed_identity"]


@dataclass(slots=True)
class Fault:
    """One switch; `count` None stays on, `operation` None strikes all."""

    kind: FaultKind
    operation: Operation | None = None
    count: int | None = 1
    status: int = 503
    retry_after_s: int | None = None
    delay_s: float = 0.0

    def strikes(self, operation: str) -> bool:
        """Whether it is on and meant for this operation; then it is used up by one."""
        if self.operation not in (None, operation) or self.count == 0:
            return False
        if self.count is not None:
            self.count -= 1
        return True


class Faults:
    """The switches that are on, oldest first; the first that strikes is used."""

    def __init__(self) -> None:
        self._active: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Switch a fault on."""
        self._active.append(fault)

    def clear(self) -> None:
        """Switch all faults off."""
        self._active.clear()

    async def strike(self, operation: str, request: web.Request) -> web.Response | None:
        """What a fault answers in the operation's place; None lets it go on, after a delay if one was ordered."""
        fault = next((fault for fault in self._active if fault.strikes(operation)), None)
        if fault is None:
            return None
        match fault.kind:
            case "slow":
                await asyncio.sleep(fault.delay_s)
                return None
            case "refuse":
                if request.transport is not None:
                    request.transport.abort()
                return web.Response(status=500)
            case "garbage":
                return web.Response(text='{"access_token": "eyJ', content_type="application/json")
            case "redirect":
                return web.Response(status=307, headers={"Location": request.path})
            case "error":
                headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
                return web.json_response({"error": "temporarily_unavailable"}, status=fault.status, headers=headers)
