"""Reconciliation with a GitHub on which something fails, or moves while it is being read page by page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from zekt_common.adapters.backend import Backend
from zekt_common.adapters.embedded import open_backend
from zekt_identity.app_view import AppView
from zekt_identity.github_app import GitHubApp, RateLimited
from zekt_identity.installation import InstallationFacts
from zekt_identity.installations import Installations
from zekt_identity.projections import INSTALLATIONS, repositories_of
from zekt_identity.reconciliation import Reconciliation
from zekt_sandbox.github.state import generate_private_key

from .conftest import ledger_over

FORBIDDEN = {"message": "The organization has an IP allow list enabled, and your IP address is not permitted."}
APART = 1_000
LIMITED = {"Retry-After": "30"}


@dataclass
class Paged:
    """A GitHub of installations, each with repositories of these numbers; `leave` goes once a first page was read."""

    installations: list[int] = field(default_factory=list)
    repositories: list[int] = field(default_factory=list)
    leave: set[int] = field(default_factory=set)
    failing: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    """Status and headers by path, or by path and installation for what is asked with an installation's token."""
    calls: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        token = request.headers["Authorization"].rpartition(" ")[2]
        asked = request.path + (f"@{token}" if token.isdigit() else "")
        self.calls.append(asked)
        if asked in self.failing:
            status, headers = self.failing[asked]
            return web.json_response(FORBIDDEN, status=status, headers=headers)
        match request.path.split("/")[1:]:
            case ["app", "installations"]:
                return web.json_response([_installation(one) for one in self._page(request, self.installations)])
            case ["app", "installations", id_]:
                known = int(id_) in self.installations
                return web.json_response(_installation(int(id_)) if known else {}, status=200 if known else 404)
            case ["app", "installations", id_, "access_tokens"]:
                return web.json_response({"token": id_, "expires_at": "2100-01-01T00:00:00Z"}, status=201)
            case _:
                shown = [_repository(int(token), one) for one in self._page(request, self.repositories)]
                return web.json_response({"repositories": shown})

    def _page(self, request: web.Request, entries: list[int]) -> list[int]:
        number, size = int(request.query["page"]), int(request.query["per_page"])
        page = entries[(number - 1) * size : number * size]
        if number == 1:
            entries[:] = [one for one in entries if one not in self.leave]
        return page


def _installation(number: int) -> dict[str, Any]:
    return {"id": number, "account": {"id": number + 10_000, "login": f"org-{number}"}, "suspended_at": None}


def _repository(installation: int, number: int) -> dict[str, Any]:
    return {"id": installation * APART + number, "full_name": f"org/{number}", "owner": {"id": 1, "login": "org"}}


@dataclass
class Watching:
    """Installations as identity knows them of a paged GitHub."""

    github: Paged
    installations: Installations
    backend: Backend

    async def status(self, number: int) -> str:
        document = await self.backend.views.get(INSTALLATIONS, str(number))
        return "unknown" if document is None else msgspec.json.decode(document.body, type=InstallationFacts).status

    async def repositories(self, number: int) -> list[int]:
        page = await self.backend.views.listing(repositories_of(number), limit=500)
        return sorted(int(document.id) % APART for document in page)


@asynccontextmanager
async def serving(github: Paged) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", github.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def watching(tmp_path: Path) -> AsyncIterator[Watching]:
    github, key = Paged(), generate_private_key().encode()
    async with (
        serving(github) as url,
        aiohttp.ClientSession() as http,
        open_backend(tmp_path, "identity") as backend,
        ledger_over(backend) as ledger,
    ):
        app = AppView(GitHubApp(http, api_url=url, app_id=1, private_key_pem=key))
        yield Watching(github, Installations(ledger, backend.views, app), backend)


@pytest.mark.parametrize("status", [403, 500])
async def test_an_installation_that_shows_nothing_holds_up_no_other(watching: Watching, status: int) -> None:
    github = watching.github
    github.installations, github.repositories = [1, 2, 3], [7]
    assert await watching.installations.reconcile() == 0
    github.installations, github.repositories = [1, 2], [7, 8]
    github.failing = {"/installation/repositories@1": (status, {})}
    assert await watching.installations.reconcile() == 1
    assert (await watching.status(1), await watching.repositories(1)) == ("active", [7])
    assert (await watching.status(2), await watching.repositories(2)) == ("active", [7, 8])
    assert (await watching.status(3), await watching.repositories(3)) == ("removed", [])


async def test_an_installation_that_cannot_be_confirmed_to_be_gone_stays(watching: Watching) -> None:
    watching.github.installations, watching.github.repositories = [1, 2], [7]
    await watching.installations.reconcile()
    watching.github.installations, watching.github.failing = [1], {"/app/installations/2": (502, {})}
    assert await watching.installations.reconcile() == 1
    assert (await watching.status(2), await watching.repositories(2)) == ("active", [7])


async def test_an_installation_that_has_spent_its_own_limit_holds_up_no_other(watching: Watching) -> None:
    watching.github.installations, watching.github.repositories = [1, 2], [7]
    watching.github.failing = {"/installation/repositories@1": (403, LIMITED)}
    assert await watching.installations.reconcile() == 1
    assert await watching.repositories(2) == [7]


async def test_an_app_that_has_spent_its_limit_asks_nothing_more(watching: Watching) -> None:
    watching.github.installations = [1, 2]
    watching.github.failing = {"/app/installations/1/access_tokens": (403, LIMITED)}
    with pytest.raises(RateLimited) as limited:
        await watching.installations.reconcile()
    assert limited.value.pause_s == 30
    assert "/app/installations/2/access_tokens" not in watching.github.calls


async def test_an_installation_that_slides_to_another_page_is_not_taken_to_be_gone(watching: Watching) -> None:
    watching.github.installations = list(range(1, 121))
    await watching.installations.reconcile()
    watching.github.leave = {5}
    for gone in (set(), {5}):  # the first look has still seen it on page 1
        await watching.installations.reconcile()
        statuses = {number: await watching.status(number) for number in range(1, 121)}
        assert {number for number, status in statuses.items() if status == "removed"} == gone


async def test_a_repository_that_slides_to_another_page_is_not_withdrawn(watching: Watching) -> None:
    watching.github.installations, watching.github.repositories = [1], list(range(1, 121))
    await watching.installations.reconcile()
    watching.github.leave = {5, 6}
    for left in ([*range(1, 121)], [*range(1, 5), *range(7, 121)]):  # the first look has still seen them on page 1
        await watching.installations.reconcile()
        assert await watching.repositories(1) == left


async def test_what_failed_in_part_is_tried_again_soon(tmp_path: Path) -> None:
    failed, done = [2, 1, 0], asyncio.Event()

    async def reconcile() -> int:
        if len(failed) == 1:
            done.set()
        return failed.pop(0)

    async with open_backend(tmp_path, "identity") as backend:
        reconciling = asyncio.create_task(Reconciliation(reconcile, backend.leases, again_s=0.01).run())
        async with asyncio.timeout(60):
            await done.wait()
        reconciling.cancel()
        await asyncio.gather(reconciling, return_exceptions=True)
