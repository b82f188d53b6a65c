"""Liveness and readiness: `GET /live` and `GET /ready` on both ports."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog
from aiohttp import web

from zekt_common.auth.requirements import Public
from zekt_common.kit.endpoint import RETRY_SOON, Phase
from zekt_common.kit.errors import json_response
from zekt_common.kit.service import Check, Route, Service

CHECK_TIMEOUT_S: Final = 5.0

log = structlog.get_logger()


class Readiness(msgspec.Struct, frozen=True):
    """What `/ready` answers: 200 only with the status `ready`."""

    status: str
    checks: list[Check]


class Health:
    """Answers for all services of a process together."""

    def __init__(self, services: Sequence[Service], phase: Callable[[], Phase]) -> None:
        self._services = services
        self._phase = phase

    async def readiness(self) -> Readiness:
        """Ask every service for its checks; one that fails or takes over 5 s is not ready."""
        phase = self._phase()
        if phase is Phase.STARTING:
            return Readiness("starting", [])
        if phase is Phase.STOPPING:
            return Readiness("unready", [Check(name="running", ok=False, detail="The process is shutting down.")])
        asked = await asyncio.gather(*(_checks(service) for service in self._services))
        checks = [check for checks in asked for check in checks]
        return Readiness("ready" if all(check.ok for check in checks) else "unready", checks)

    def routes(self, *, internal: bool) -> list[Route]:
        """Return the probes' routes for one of the two ports."""
        return [
            Route(method=method, path=path, handler=handler, requires=Public(), internal=internal)
            for path, handler in (("/live", self._live), ("/ready", self._ready))
            for method in ("GET", "HEAD")
        ]

    async def _live(self, _request: web.Request) -> web.Response:
        return json_response({"status": "live"})

    async def _ready(self, _request: web.Request) -> web.Response:
        readiness = await self.readiness()
        if readiness.status == "ready":
            return json_response(readiness)
        return json_response(readiness, status=503, headers=RETRY_SOON)


async def _checks(service: Service) -> list[Check]:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            checks = await service.checks()
    except TimeoutError:
        return [Check(name=service.name, ok=False, detail=f"The checks took longer than {CHECK_TIMEOUT_S:.0f} s.")]
    except Exception:  # a check that breaks is a check that fails
        log.exception("readiness_check_failed", service=service.name)
        return [Check(name=service.name, ok=False, detail="The checks themselves failed; see the log.")]
    return [msgspec.structs.replace(check, name=f"{service.name}.{check.name}") for check in checks]
