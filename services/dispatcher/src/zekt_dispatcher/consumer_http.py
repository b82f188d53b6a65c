"""Consumers' routes, for their workflows' OIDC tokens: fetch a payload, confirm a delivery, complete it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from email.utils import format_datetime
from typing import Annotated, Final, TypeVar

import msgspec
from aiohttp import web

from zekt_common.auth.actions_oidc import ActionsClaims, ActionsTokenVerifier
from zekt_common.auth.requirements import ActionsToken
from zekt_common.clock import utc_now
from zekt_common.errors import KeyDestroyed, PayloadNotFound
from zekt_common.kit.errors import Refusal, json_response
from zekt_common.kit.json_body import json_body
from zekt_common.kit.projector import Projector
from zekt_common.kit.service import Handler, Route
from zekt_common.ports import Payloads, Views
from zekt_dispatcher.delivery import stream_of
from zekt_dispatcher.delivery_commands import Complete, Confirm
from zekt_dispatcher.ledger import Entry, Ledger
from zekt_dispatcher.views import ListedDelivery, PayloadGrant, by_payload, by_target

MAX_BODY_BYTES: Final = 16 * 1024
PAGE: Final = 200
CATCH_UP_S: Final = 2.0
_SHA256: Final = re.compile(r"[0-9a-f]{64}")

_CorrelationId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,20}\Z")]
_DeliveryId = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")]
_Conclusion = Annotated[str, msgspec.Meta(max_length=100)]


class Confirmation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body of a confirmation. `deliveryId` tells apart several deliveries of one run; the payload names it."""

    correlation_id: _CorrelationId | int
    delivery_id: _DeliveryId | None = None


class Completion(Confirmation, frozen=True, kw_only=True, rename="camel"):
    """The body of a completion."""

    success: bool
    conclusion: _Conclusion | None = None


Body = TypeVar("Body", bound=Confirmation)


class ConsumerDesk(msgspec.Struct, frozen=True, kw_only=True):
    """What the routes work with."""

    verifier: ActionsTokenVerifier
    views: Views
    payloads: Payloads
    ledger: Ledger
    projector: Projector


class ConsumerRoutes:
    """The routes; `desk` is asked for on each request, since it exists only while the service runs."""

    def __init__(self, desk: Callable[[], ConsumerDesk]) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """Return all of them."""
        return [
            _route("GET", "/api/payloads/{sha256}", self.get_payload),
            _route("POST", "/api/event-delivery/confirm", self.post_confirm),
            _route("POST", "/api/event-delivery/complete", self.post_complete),
        ]

    async def get_payload(self, request: web.Request) -> web.StreamResponse:
        """The payload's bytes, for a target of a delivery that refers to it; to others it does not exist."""
        claims = await self._desk().verifier.admit(request)
        complete = True
        found = await self._payload(request, claims.repository_id)
        if found is None:
            complete = await self._catch_up()
            found = await self._payload(request, claims.repository_id)
        if found is None:
            detail = "No delivery to this repository refers to such a payload any more."
            raise _for_certain(Refusal(404, "payload_not_found", detail), complete=complete)
        return found

    async def post_confirm(self, request: web.Request) -> web.Response:
        """The consumer's run has begun."""
        claims = await self._desk().verifier.admit(request)
        body = json_body(await request.read(), Confirmation, error="invalid_body")
        entry = await self._spoken_of(claims, body)
        return await self._answer(entry, Confirm(at=utc_now(), consumer_run_id=claims.run_id))

    async def post_complete(self, request: web.Request) -> web.Response:
        """The consumer's run has ended."""
        claims = await self._desk().verifier.admit(request)
        body = json_body(await request.read(), Completion, error="invalid_body")
        entry = await self._spoken_of(claims, body)
        command = Complete(
            at=utc_now(), consumer_run_id=claims.run_id, success=body.success, conclusion=body.conclusion
        )
        return await self._answer(entry, command)

    async def _payload(self, request: web.Request, repository_id: int) -> web.Response | None:
        """Return the payload by the first grant that the views show whose content is still there."""
        sha256 = request.match_info["sha256"]
        etag = f'"{sha256}"'
        for grant in await self._shown_grants(repository_id, sha256):
            content = await self._content(grant.account_id, sha256)
            if content is None:
                continue
            expires = format_datetime(grant.expires_at, usegmt=True)
            headers = {"ETag": etag, "Cache-Control": "private", "Expires": expires}
            if request.headers.get("If-None-Match") == etag:
                return web.Response(status=304, headers=headers)
            return web.Response(body=content, content_type="application/json", headers=headers)
        return None

    async def _shown_grants(self, repository_id: int, sha256: str) -> list[PayloadGrant]:
        if not _SHA256.fullmatch(sha256):
            return []
        documents = await self._desk().views.listing(by_payload(repository_id), after=f"{sha256}:", limit=10)
        own = [document for document in documents if document.id.startswith(f"{sha256}:")]
        return [msgspec.json.decode(document.body, type=PayloadGrant) for document in own]

    async def _catch_up(self) -> bool:
        """Let the views show what was stored before this call: a consumer may be quicker than they are.

        Returns whether they do, which may take longer than a caller can be kept waiting.
        """
        try:
            async with asyncio.timeout(CATCH_UP_S):
                await self._desk().projector.wait_for_stored()
        except TimeoutError:
            return False
        return True

    async def _content(self, account_id: int, sha256: str) -> bytes | None:
        try:
            return await self._desk().payloads.get(account_id, sha256)
        except (PayloadNotFound, KeyDestroyed):
            return None

    async def _spoken_of(self, claims: ActionsClaims, body: Confirmation) -> Entry:
        """Return the delivery that this run speaks of: the one it has spoken of before, or the oldest without a run.

        Raises:
            Refusal: 404, no delivery of the run that the body names went to the caller's repository; 409, another run
                speaks for each of them, or it cannot have reached one; 503, there may be one that the views do not
                show yet.
        """
        complete = body.delivery_id is not None or await self._catch_up()
        latest = free = None
        async for latest in self._candidates(claims, body):
            if latest.state.consumer_run_id == claims.run_id:
                return latest
            if free is None and latest.state.consumer_run_id is None and latest.state.may_have_arrived:
                free = latest
        if free is None:
            raise _for_certain(_unknown() if latest is None else _undispatched(), complete=complete)
        return free

    async def _candidates(self, claims: ActionsClaims, body: Confirmation) -> AsyncIterator[Entry]:
        """Yield the deliveries that the body may mean, those of the caller's repository alone, oldest first."""
        async for delivery_id in self._listed(claims, body):
            entry = await self._desk().ledger.load(stream_of(delivery_id))
            if _concerns(entry, claims, body):
                yield entry

    async def _listed(self, claims: ActionsClaims, body: Confirmation) -> AsyncIterator[str]:
        if body.delivery_id:
            yield body.delivery_id
            return
        partition, after = by_target(claims.repository_id, str(body.correlation_id)), ""
        while documents := await self._desk().views.listing(partition, after=after, limit=PAGE):
            for document in documents:
                yield msgspec.json.decode(document.body, type=ListedDelivery).delivery_id
            after = documents[-1].id

    async def _answer(self, entry: Entry, command: Confirm | Complete) -> web.Response:
        """Store the consumer's word, unless it is known, and say where the delivery stands."""
        entry = await self._desk().ledger.execute(entry, command)
        order = entry.state.order
        return json_response(
            {"success": True, "deliveryId": order.delivery_id if order else None, "status": entry.state.status.value}
        )


def _route(method: str, path: str, handler: Handler) -> Route:
    return Route(method=method, path=path, handler=handler, requires=ActionsToken(), max_body_bytes=MAX_BODY_BYTES)


def _unknown() -> Refusal:
    detail = "No delivery with this correlationId went to the repository that the token is of."
    return Refusal(404, "delivery_not_found", detail)


def _undispatched() -> Refusal:
    return Refusal(409, "not_dispatched", "The delivery has not been dispatched, or another run speaks for it.")


def _for_certain(refusal: Refusal, *, complete: bool) -> Refusal:
    """Return the refusal if the views showed everything, else 503: what it says may yet turn out otherwise."""
    if complete:
        return refusal
    detail = "The service is still reading what was stored. Try again shortly."
    return Refusal(503, "starting", detail, headers={"Retry-After": "2"})


def _concerns(entry: Entry, claims: ActionsClaims, body: Confirmation) -> bool:
    """Return whether the delivery went to the caller's repository, about the run that it names."""
    order = entry.state.order
    if order is None:
        return False
    return order.target_repository_id == claims.repository_id and str(order.run_id) == str(body.correlation_id)
