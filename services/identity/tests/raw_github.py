"""A GitHub that answers whatever a test writes, byte by byte."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from zekt_identity.github_oauth import GitHubOAuth

Pieces = Callable[[web.StreamResponse], Awaitable[None]]


@asynccontextmanager
async def answering(
    write: Pieces, status: Callable[[], int] = lambda: 200
) -> AsyncIterator[tuple[GitHubOAuth, list[str]]]:
    """Run a GitHub that answers so; also give the calls that it has had."""
    calls: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        calls.append(request.path)
        response = web.StreamResponse(status=status())
        await response.prepare(request)
        await write(response)
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession() as http:
            yield GitHubOAuth(http, web_url=url, api_url=url, client_id="id", client_secret="secret"), calls
    finally:
        await runner.cleanup()
