"""What a user would write instead of ingress: aiohttp and gidgethub verify a webhook, answer 202 and store nothing."""

import sys

from aiohttp import web
from gidgethub.sansio import Event

MAX_BODY_BYTES = 25 * 1024 * 1024


def build_app(secret: str) -> web.Application:
    """Return the bare server for webhooks signed with `secret`."""

    async def receive(request: web.Request) -> web.Response:
        Event.from_http(request.headers, await request.read(), secret=secret)
        return web.json_response({"status": "accepted"}, status=202)

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post("/webhooks/github", receive)
    return app


def main(port: int, secret: str, loop_kind: str) -> None:
    """Serve on loopback until terminated, on asyncio's own loop or on uvloop."""
    if loop_kind == "uvloop":
        import uvloop  # noqa: PLC0415 - the plain server must not load it

        loop = uvloop.new_event_loop()
        web.run_app(build_app(secret), host="127.0.0.1", port=port, access_log=None, print=None, loop=loop)
    else:
        web.run_app(build_app(secret), host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
