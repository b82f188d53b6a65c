"""Conditional requests: an ETag on every answer to a GET, and 304 to who has it already."""

import hashlib

from aiohttp import web

_OK, _NOT_MODIFIED = 200, 304


def conditional(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """The response with its ETag, or a 304 without a body if the request names that ETag."""
    if request.method != "GET" or response.status != _OK or not isinstance(response, web.Response):
        return response
    etag = _etag(response)
    response.headers["ETag"] = etag
    if not _known(request.headers.get("If-None-Match", ""), etag):
        return response
    return web.Response(status=_NOT_MODIFIED, headers={"ETag": etag})


def _etag(response: web.Response) -> str:
    # The Link header too: a page that gets a successor has the same body.
    shown = response.body if isinstance(response.body, bytes) else b""
    return f'W/"{hashlib.sha256(shown + response.headers.get("Link", "").encode()).hexdigest()}"'


def _known(if_none_match: str, etag: str) -> bool:
    named = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return "*" in named or etag.removeprefix("W/") in named
