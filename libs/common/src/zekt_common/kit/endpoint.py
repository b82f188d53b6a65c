"""The way of every request through the host: body limit, span, metric, and errors as JSON."""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Final

import structlog
from aiohttp import web
from opentelemetry.trace import SpanKind

from zekt_common.auth.origin import TRUSTED_PROXIES
from zekt_common.auth.requirements import ServiceRole
from zekt_common.errors import StorageUnusable
from zekt_common.kit.errors import Refusal
from zekt_common.kit.life import Life
from zekt_common.kit.service import Route
from zekt_common.kit.settings import Network
from zekt_common.kit.supervision import describe
from zekt_common.telemetry.metrics import METHOD, REQUEST_DURATION, ROUTE, STATUS
from zekt_common.telemetry.tracing import span

RETRY_SOON = {"Retry-After": "2"}
_SERVER_ERROR = 500
_PLAIN: Final = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*/?(?:\?|\Z)")
"""A path as it is sent, up to its query, that reads the same whoever decodes, tidies up or joins it, or does not."""

log = structlog.get_logger()


class Endpoint:
    """One route as the host serves it; with a life, requests that come while it starts wait for that."""

    def __init__(self, route: Route, life: Life | None = None) -> None:
        self.route = route
        self._name = f"{route.method} {route.path}"
        self._measured = {METHOD: route.method, ROUTE: route.path}
        self._life = life

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer the request; whatever goes wrong becomes a JSON error."""
        began = time.perf_counter()
        with span(self._name, request.headers.get("traceparent"), kind=SpanKind.SERVER) as current:
            response = await self._answer(request)
            if response.status >= _SERVER_ERROR:
                current.failed(str(response.status))
        REQUEST_DURATION.record(time.perf_counter() - began, **self._measured, **{STATUS: response.status})
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self.route.handler(await self._admitted(request))
        except Refusal as refusal:
            return refusal.response()
        except web.HTTPException as error:
            return refusal_of(request, error, self.route.max_body_bytes).response()
        except StorageUnusable as error:
            log.error("storage_unusable", route=self._name, reason=str(error))  # noqa: TRY400 - a condition, not a bug
            return _storage_unusable().response()
        except (web.RequestPayloadError, ConnectionError, asyncio.IncompleteReadError):
            return Refusal(400, "body_incomplete", "The connection ended before the body did.").response()
        except Exception as error:  # noqa: BLE001 - the last line of defence: the caller learns nothing
            log.error("request_failed", route=self._name, **describe(error))  # noqa: TRY400 - a traceback may quote a payload
            return _unexpected().response()

    async def _admitted(self, request: web.Request) -> web.Request:
        """Return the request with its body bounded, if it may reach the handler at all."""
        _check_plain(request)
        if self._life is not None and not await self._life.started():
            raise Refusal(503, "starting", "The service is starting. Try again shortly.", headers=RETRY_SOON)
        length = request.content_length
        if length is None:  # chunked or no body: counted while it is read
            return request.clone(client_max_size=max(1, self.route.max_body_bytes)) if request.body_exists else request
        if length > self.route.max_body_bytes:
            raise _too_large(self.route.max_body_bytes)
        return request


async def answer_unmatched(request: web.Request) -> web.StreamResponse:
    """Answer what no other route matches (404, 405) as JSON; a middleware would do it at a price for every request."""
    try:
        _check_plain(request)
    except Refusal as refusal:
        return refusal.response()
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        if resource is not request.match_info.route.resource:
            allowed |= (await resource.resolve(request))[1]
    error = web.HTTPMethodNotAllowed(request.method, allowed) if allowed else web.HTTPNotFound()
    return refusal_of(request, error).response()


def routed(
    routes: Sequence[Route],
    life: Life,
    *,
    probes: Sequence[Route] = (),
    trusted_proxies: tuple[Network, ...] = (),
) -> web.Application:
    """Return an application that serves these routes, the probes in every phase.

    Raises:
        ValueError: a route for services is not internal, so that the outside could try its tokens on it.
    """
    for route in routes:
        if isinstance(route.requires, ServiceRole) and not route.internal:
            raise ValueError(f"{route.path} takes service tokens, so it must be internal")
    largest = max((route.max_body_bytes for route in routes), default=1)
    app = web.Application(client_max_size=max(1, largest))
    app[TRUSTED_PROXIES] = trusted_proxies
    endpoints = [Endpoint(probe) for probe in probes]
    endpoints += [Endpoint(route, life) for route in routes]
    for endpoint in endpoints:
        app.router.add_route(endpoint.route.method, endpoint.route.path, endpoint.handle)
    app.router.add_route("*", "/{unmatched:.*}", answer_unmatched)
    return app


def refusal_of(request: web.Request, error: web.HTTPException, max_body_bytes: int = 0) -> Refusal:
    """Return what aiohttp raised in our own words."""
    match error:
        case web.HTTPNotFound():
            return Refusal(404, "not_found", f"There is nothing at {request.path}.")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            detail = f"{request.path} does not answer {request.method}. It answers: {allowed}."
            return Refusal(405, "method_not_allowed", detail, headers={"Allow": allowed})
        case web.HTTPRequestEntityTooLarge():
            return _too_large(max_body_bytes)
        case _:
            return Refusal(error.status, error.reason.lower().replace(" ", "_"), error.text or error.reason)


def _check_plain(request: web.Request) -> None:
    """Refuse what a gateway before us may have taken for another path than the one that aiohttp has found.

    No route needs an escape in its path: names that could do with one come in the query.
    """
    if not _PLAIN.match(request.raw_path):
        raise Refusal(
            400,
            "path_not_plain",
            "Send the path as it is: without escapes (%2F), dot segments (..), backslashes or doubled slashes.",
        )


def _too_large(limit_bytes: int) -> Refusal:
    return Refusal(413, "body_too_large", f"The body may have at most {limit_bytes} bytes here.")


def _storage_unusable() -> Refusal:
    return Refusal(
        503,
        "storage_unusable",
        "Nothing can be stored now, so nothing was accepted. Try again; the service's log says what is wrong.",
        headers={"Retry-After": "5"},
    )


def _unexpected() -> Refusal:
    return Refusal(500, "internal_error", "Something went wrong on our side. It was logged; try again later.")
