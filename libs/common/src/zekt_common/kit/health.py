"""`GET /live`, `GET /ready` and `GET /accepting` on both ports.

A process that is not ready may still be accepting: it takes in what its doors are for, and the rest waits in its store.
So `/ready` is for who looks after it, `/accepting` for who decides whether requests are sent to it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog
from aiohttp import web

from zekt_common.auth.requirements import Public
from zekt_common.kit.endpoint import RETRY_SOON
from zekt_common.kit.errors import json_response
from zekt_common.kit.life import Phase
from zekt_common.kit.service import Check, Checks, Route, Service

CHECK_TIMEOUT_S: Final = 5.0

log = structlog.get_logger()


class Readiness(msgspec.Struct, frozen=True):
    """What a probe answers: 200 only with the status `ready`, or `accepting`."""

    status: str
    checks: list[Check]


class Health:
    """Answers for all services of a process together."""

    def __init__(self, services: Sequence[Service], phase: Callable[[], Phase]) -> None:
        self._services = services
        self._phase = phase

    async def readiness(self) -> Readiness:
        """Ask every service for all of its checks; one that fails or takes over 5 s is not ready."""
        asked = [(each.name, ask) for each in self._services for ask in (each.accepting, each.checks)]
        return await self._asked(asked, well="ready", otherwise="unready")

    async def acceptance(self) -> Readiness:
        """Ask every service for the checks of its doors alone."""
        asked = [(each.name, each.accepting) for each in self._services]
        return await self._asked(asked, well="accepting", otherwise="refusing")

    async def _asked(self, asked: Sequence[tuple[str, Checks]], *, well: str, otherwise: str) -> Readiness:
        phase = self._phase()
        if phase is Phase.STARTING:
            return Readiness("starting", [])
        if phase is Phase.STOPPING:
            return Readiness(otherwise, [Check(name="running", ok=False, detail="The process is shutting down.")])
        answers = await asyncio.gather(*(_checks(service, ask) for service, ask in asked))
        checks = [check for answer in answers for check in answer]
        return Readiness(well if all(check.ok for check in checks) else otherwise, checks)

    def routes(self, *, internal: bool) -> list[Route]:
        """Return the probes' routes for one of the two ports."""
        return [
            Route(method=method, path=path, handler=handler, requires=Public(), internal=internal)
            for path, handler in (("/live", self._live), ("/ready", self._ready), ("/accepting", self._accepting))
            for method in ("GET", "HEAD")
        ]

    async def _live(self, _request: web.Request) -> web.Response:
        return json_response({"status": "live"})

    async def _ready(self, _request: web.Request) -> web.Response:
        return _answer(await self.readiness(), well="ready")

    async def _accepting(self, _request: web.Request) -> web.Response:
        return _answer(await self.acceptance(), well="accepting")


def _answer(readiness: Readiness, *, well: str) -> web.Response:
    if readiness.status == well:
        return json_response(readiness)
    return json_response(readiness, status=503, headers=RETRY_SOON)


async def _checks(service: str, ask: Checks) -> list[Check]:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            checks = await ask()
    except TimeoutError:
        return [Check(name=service, ok=False, detail=f"The checks took longer than {CHECK_TIMEOUT_S:.0f} s.")]
    except Exception:  # a check that breaks is a check that fails
        log.exception("readiness_check_failed", service=service)
        return [Check(name=service, ok=False, detail="The checks themselves failed; see the log.")]
    return [msgspec.structs.replace(check, name=f"{service}.{check.name}") for check in checks]
