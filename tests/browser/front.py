"""What stands before identity, as a gateway does, with and without TLS; the other sites of the tests are here too."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from tests.browser.certificate import Certificate

OURS: Final = "zekt.example"
SIBLING: Final = "other.zekt.example"
"""Another host of our domain: the same site to a browser, and not ours."""
ELSEWHERE: Final = "evil.example"
HOSTS: Final = (OURS, SIBLING, ELSEWHERE)
_PASSED_ON: Final = ("/auth/", "/api/")
_OF_THE_CONNECTION: Final = (
    "Host",
    "Connection",
    "Content-Length",
    "Transfer-Encoding",
    "Keep-Alive",
    "Server",
    "Date",
)


@dataclass(frozen=True)
class Noted:
    """A request as it arrived, and what became of it."""

    scheme: str
    method: str
    host: str
    path: str
    query: str
    cookies: frozenset[str]
    status: int


@dataclass
class Front:
    """Passes our own paths on to identity; any other page is what `pages` says, by host and path, or empty."""

    identity_url: str
    port: int
    http: aiohttp.ClientSession
    plain_port: int = 0
    noted: list[Noted] = field(default_factory=list)
    pages: dict[tuple[str, str], str] = field(default_factory=dict)

    def url(self, path: str = "/", *, host: str = OURS) -> str:
        return f"https://{host}:{self.port}{path}"

    def plain_url(self, path: str = "/", *, host: str = OURS) -> str:
        return f"http://{host}:{self.plain_port}{path}"

    def requests(self, path: str, *, host: str = OURS, scheme: str = "https") -> list[Noted]:
        """Return the requests for a path, oldest first."""
        return [one for one in self.noted if (one.host, one.path, one.scheme) == (host, path, scheme)]

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a request and note it."""
        host = request.host.partition(":")[0]
        response = await (self._passed_on(request) if self._is_ours(host, request.path) else self._page(request, host))
        where = (request.scheme, request.method, host, request.path, request.query_string)
        self.noted.append(Noted(*where, frozenset(request.cookies), response.status))
        return response

    def _is_ours(self, host: str, path: str) -> bool:
        return host == OURS and path.startswith(_PASSED_ON)

    async def _page(self, request: web.Request, host: str) -> web.Response:
        text = self.pages.get((host, request.path), "")
        return web.Response(text=f"<!doctype html><body>{text}</body>", content_type="text/html")

    async def _passed_on(self, request: web.Request) -> web.Response:
        url, body = f"{self.identity_url}{request.raw_path}", await request.read()
        headers = _end_to_end(request.headers)
        headers.update({"Host": request.host, "X-Forwarded-For": request.remote or ""})
        async with self.http.request(
            request.method, url, data=body or None, headers=headers, allow_redirects=False
        ) as answer:
            return web.Response(status=answer.status, headers=_end_to_end(answer.headers), body=await answer.read())


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in _OF_THE_CONNECTION:
        kept.popall(name, None)
    return kept


@asynccontextmanager
async def standing(identity_url: str, port: int, certificate: Certificate) -> AsyncIterator[Front]:
    """Listen on `port` with TLS, and on a free port without, until the block ends."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        front = Front(identity_url, port, http)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", front.answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port, ssl_context=certificate.server).start()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            front.plain_port = runner.addresses[1][1]
            yield front
        finally:
            await runner.cleanup()
