"""`POST /api/events/receive`: a run's message, believed as far as its OIDC token goes, redacted, then stored.

Errors are `{"error": "<sentence>"}`, since the published action prints that to the customer.
"""

import asyncio
from typing import Final

import msgspec
import structlog
from aiohttp import web

from zekt_common.auth.actions_oidc import ActionsClaims, ActionsTokenVerifier
from zekt_common.envelope import Event, NewEvent
from zekt_common.errors import KeyDestroyed, StorageUnusable, StreamConflict
from zekt_common.kit.errors import Refusal, json_response
from zekt_common.ports import EventStore, Payloads
from zekt_common.ports.payloads import INLINE_LIMIT_BYTES
from zekt_common.telemetry.metrics import MESSAGES_RECEIVED
from zekt_common.telemetry.tracing import current_span
from zekt_ingress import message
from zekt_ingress.admission import Admission
from zekt_ingress.catalog_view import CatalogView
from zekt_ingress.message import Content, Malformed, MessageReceived, MessageRequest, PayloadTooLarge
from zekt_ingress.shield import MalformedEnvelope
from zekt_ingress.translate import SOURCE

MAX_BODY_BYTES: Final = 768 * 1024
ROUTE_BODY_BYTES: Final = 4 * 1024 * 1024
IN_A_THREAD_BYTES: Final = 64 * 1024
SOON: Final = {"Retry-After": "5"}

log = structlog.get_logger()


class MessageDoor:
    """Takes messages in. What is answered with 200 is on disk, and nothing is on disk of what is refused."""

    def __init__(
        self,
        verifier: ActionsTokenVerifier,
        admission: Admission,
        view: CatalogView,
        store: EventStore,
        payloads: Payloads,
    ) -> None:
        self._verifier = verifier
        self._admission = admission
        self._view = view
        self._store = store
        self._payloads = payloads

    async def receive(self, request: web.Request) -> web.Response:
        """Answer 200 with the event's id, the same for a repeat, and how many subscriptions it concerns."""
        try:
            return await self._receive(request)
        except Refusal as refusal:
            MESSAGES_RECEIVED.add(outcome="refused")
            log.info("message_refused", status=refusal.status)  # reasons may name members of the payload
            sentence = refusal.detail or refusal.error
            raise Refusal(refusal.status, sentence, headers=refusal.headers, code=refusal.code) from None

    async def _receive(self, request: web.Request) -> web.Response:
        claims = await self._verifier.admit(request)
        self._admission.check_rate(claims.repository_id)
        self._admission.check_run(claims.repository_id, claims.run_id)
        body = await _body(request)
        try:
            asked = message.parse(body)
            _check_run(asked, claims, request.headers.get("X-GitHub-Repository"))
            await self._admission.check_enabled(claims.repository_owner_id, claims.repository_id)
            content = await _prepare(asked, len(body))
            accepted = await self._keep(asked, claims, content, message.message_id_of(body))
        except (Malformed, MalformedEnvelope) as error:
            raise Refusal(400, str(error)) from None
        except PayloadTooLarge:
            raise _too_large() from None
        except KeyDestroyed:
            detail = "This account's data was erased; nothing of it is taken in."
            raise Refusal(404, "account_erased", detail) from None
        except StorageUnusable:
            raise Refusal(503, "The message cannot be stored now; it was not accepted. Retry.", headers=SOON) from None
        outcome = "accepted" if accepted else "duplicate"
        MESSAGES_RECEIVED.add(outcome=outcome)
        return await self._answer(asked, claims, message.message_id_of(body), content, outcome)

    async def _keep(self, asked: MessageRequest, claims: ActionsClaims, content: Content, message_id: str) -> bool:
        """Store the payload, then the message with what the guard found; False if the message is there already."""
        large = len(content.json) > INLINE_LIMIT_BYTES
        received = MessageReceived(
            message_id=message_id,
            repository_id=claims.repository_id,
            repository=claims.repository,
            owner_id=claims.repository_owner_id,
            run_id=claims.run_id,
            run_attempt=claims.run_attempt,
            workflow_path=claims.workflow_path,
            event_type=asked.event_type,
            size_bytes=len(content.json),
            payload=None if large else msgspec.Raw(content.json),
            payload_ref=await self._payloads.put(claims.repository_owner_id, content.json) if large else None,
        )
        bodies: list[Event] = [received, content.redaction] if content.redaction else [received]
        stream = message.stream_of(claims.repository_id, claims.run_id, message_id)
        try:
            await self._store.append(stream, [_event(body, claims) for body in bodies], expected_version=0)
        except StreamConflict:
            return False
        return True

    async def _answer(
        self, asked: MessageRequest, claims: ActionsClaims, message_id: str, content: Content, outcome: str
    ) -> web.Response:
        notified = await self._view.subscribers(
            claims.repository_owner_id, claims.repository_id, claims.workflow_path, asked.event_type
        )
        redacted = content.redaction.total if content.redaction else 0
        subject = f"{claims.repository_id}/{claims.run_id}"
        log.info("message_received", run=subject, message_id=message_id, outcome=outcome, redacted=redacted)
        told = f"Received; {notified} approved subscription{'' if notified == 1 else 's'} will hear of it."
        if redacted:
            told += f" {redacted} secret(s) were found in the payload and redacted: revoke them."
        return json_response(
            {"success": True, "eventId": f"evt-{message_id}", "consumersNotified": notified, "message": told}
        )


async def _body(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _too_large()
    body = await request.read()
    if len(body) > MAX_BODY_BYTES:
        raise _too_large()
    return body


async def _prepare(asked: MessageRequest, size_bytes: int) -> Content:
    """Redact; a large payload in a thread, so that webhooks do not wait for it."""
    if size_bytes <= IN_A_THREAD_BYTES:
        return message.prepare(asked.payload)
    return await asyncio.to_thread(message.prepare, asked.payload)


def _check_run(asked: MessageRequest, claims: ActionsClaims, header: str | None) -> None:
    """Refuse a body that tells of another repository or run than the token does."""
    for named in (asked.repository, claims.repository if header is None else header):
        if named.casefold() != claims.repository.casefold():
            detail = f"The token is of {claims.repository}, so nothing can be sent for another repository."
            raise Refusal(403, "another_repository", detail)
    if str(asked.workflow_run_id) != str(claims.run_id):
        raise Refusal(400, f"workflowRunId must be {claims.run_id}, the run that the token belongs to.")
    if asked.orchestration_step_ref is not None:
        raise Refusal(501, "This server runs no orchestrations: send the message without orchestration_step_ref.")


def _event(body: Event, claims: ActionsClaims) -> NewEvent:
    subject, span = f"{claims.repository_id}/{claims.run_id}", current_span()
    return NewEvent(
        body=body,
        source=SOURCE,
        subject=subject,
        correlationid=subject,
        causationid=f"actions/{subject}/{claims.run_attempt}",
        traceparent=span.traceparent if span else None,
        accountid=str(claims.repository_owner_id),
    )


def _too_large() -> Refusal:
    return Refusal(413, f"The payload may have at most {message.MAX_PAYLOAD_BYTES} bytes of JSON in UTF-8. Send less.")
