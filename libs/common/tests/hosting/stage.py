"""A service whose life the tests watch and steer, and what its routes are made of."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from zekt_common.auth.requirements import Public
from zekt_common.kit.errors import json_response
from zekt_common.kit.service import Check, Route, Service
from zekt_common.kit.settings import HostSettings


@dataclass
class Stage:
    """A service whose life the tests watch and steer."""

    checks: list[Check] = field(default_factory=lambda: [Check(name="open", ok=True)])
    other_checks: list[Check] = field(default_factory=list)
    happened: list[str] = field(default_factory=list)
    may_open: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    drain_takes_s: float = 0.0

    def service(self, *routes: Route) -> Service:
        return Service(
            name="stage",
            routes=routes,
            lifespan=self._lifespan,
            drain=self._drain,
            accepting=self._report,
            checks=self._report_others,
        )

    @asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        await self.may_open.wait()
        self.happened.append("opened")
        yield
        self.happened.append("closed")

    async def _drain(self) -> None:
        self.happened.append("draining")
        self.draining.set()
        await asyncio.sleep(self.drain_takes_s)

    async def _report(self) -> Sequence[Check]:
        return self.checks

    async def _report_others(self) -> Sequence[Check]:
        return self.other_checks

    async def answer_later(self, _request: web.Request) -> web.Response:
        self.entered.set()
        await self.may_answer.wait()
        self.happened.append("answered")
        return json_response({"status": "done"})


def settings(tmp_path: Path) -> HostSettings:
    return HostSettings(port=0, internal_port=0, data_dir=tmp_path / "zekt")


def route(handler: Any, *, method: str = "POST", path: str = "/here", **options: Any) -> Route:
    return Route(method=method, path=path, handler=handler, **({"requires": Public()} | options))


async def echo(request: web.Request) -> web.Response:
    return json_response({"size": len(await request.read())})


async def answer_of(response: aiohttp.ClientResponse) -> tuple[int, Any]:
    assert response.content_type == "application/json"
    return response.status, json.loads(await response.read())
