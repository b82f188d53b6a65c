"""`POST /webhooks/github`: verify, read, archive the body, append, and only then answer. The hot path: no logging."""

import asyncio
import re
from typing import Final

from aiohttp import web
from multidict import CIMultiDictProxy, istr

from zekt_common.auth.authorisation import CALLER, repository_caller
from zekt_common.envelope import NewEvent
from zekt_common.errors import KeyDestroyed, StreamConflict, ZektError
from zekt_common.kit.errors import Refusal
from zekt_common.ports import EventStore, PayloadRef, Payloads
from zekt_common.ports.payloads import RETENTION
from zekt_common.telemetry.metrics import WEBHOOKS_RECEIVED
from zekt_common.telemetry.tracing import current_span
from zekt_ingress import webhook
from zekt_ingress.bodies import SMALL_BYTES, Room, declared_bytes, read_body
from zekt_ingress.signatures import (
    REPOSITORY_TARGET,
    HookTarget,
    SignatureRefused,
    TargetRefused,
    VerifiedBody,
    WebhookVerifier,
    check_repository,
)
from zekt_ingress.translate import SOURCE
from zekt_ingress.webhook import (
    NO_ACCOUNT,
    UNOWNED_RETENTION,
    Facts,
    NotJson,
    UnexpectedShape,
    WebhookReceived,
)

KEEP_WITHIN_S: Final = 8.0
"""GitHub waits for 10 s, and on Azure a single call may take longer than that to fail."""
AGAIN_AFTER_S: Final = 5

_CONTENT_TYPE: Final = istr("Content-Type")
_EVENT: Final = istr("X-GitHub-Event")
_GUID: Final = istr("X-GitHub-Delivery")
_SIGNATURE: Final = istr("X-Hub-Signature-256")
_TARGET_TYPE: Final = istr("X-GitHub-Hook-Installation-Target-Type")
_TARGET_ID: Final = istr("X-GitHub-Hook-Installation-Target-ID")
_WORD: Final = re.compile(r"[a-z][a-z_]{0,63}")
_GUID_FORM: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,49}")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")

_ACCEPTED: Final = b'{"status":"accepted"}'
_DUPLICATE: Final = b'{"status":"duplicate"}'
_REFUSALS: Final[dict[type[ZektError], tuple[int, str]]] = {
    SignatureRefused: (401, "signature_refused"),
    TargetRefused: (403, "hook_target_refused"),
    NotJson: (400, "not_json"),
    UnexpectedShape: (400, "unexpected_shape"),
}


class WebhookDoor:
    """Takes webhooks in. What is answered with 202 is on disk."""

    def __init__(self, verifier: WebhookVerifier, store: EventStore, payloads: Payloads) -> None:
        self._verifier = verifier
        self._store = store
        self._payloads = payloads
        self._room = Room()

    async def receive(self, request: web.Request) -> web.Response:
        """Answer 202 `accepted`, or `duplicate` for a GUID that this hook's target has sent before."""
        size_bytes = declared_bytes(request)
        if size_bytes <= SMALL_BYTES:
            return await self._take(request)
        async with self._room.hold(size_bytes):
            return await self._take(request)

    async def _take(self, request: web.Request) -> web.Response:
        headers = request.headers
        _check_content_type(headers)
        signature = headers.get(_SIGNATURE)
        target, event, guid = _origin(headers) if signature else _NOBODY
        try:
            body = self._verifier.verify(await read_body(request) if signature else b"", signature, target)
            facts = webhook.read(event, body)
            check_repository(target, facts.repository_id)
            async with asyncio.timeout(KEEP_WITHIN_S):
                accepted = await self._keep(body, facts, target, event, guid)
        except TimeoutError:
            detail = "It may have been stored, and may not: redeliver it later. A repeat changes nothing."
            raise Refusal(503, "storage_slow", detail, headers={"Retry-After": str(AGAIN_AFTER_S)}) from None
        except tuple(_REFUSALS) as error:
            if isinstance(error, TargetRefused) and target.type == REPOSITORY_TARGET:
                request[CALLER] = repository_caller(target.id)  # its secret was good
            status, code = _REFUSALS[type(error)]
            raise Refusal(status, code, str(error)) from None
        except KeyDestroyed:
            raise Refusal(410, "account_erased", "This account's data was erased; nothing of it is taken in.") from None
        WEBHOOKS_RECEIVED.add(event=event, outcome="accepted" if accepted else "duplicate")
        content = _ACCEPTED if accepted else _DUPLICATE
        return web.Response(body=content, status=202, content_type="application/json")

    async def _keep(self, body: VerifiedBody, facts: Facts, target: HookTarget, event: str, guid: str) -> bool:
        """Archive the body and append the event that refers to it; False if the stream is there already.

        Of a run, whose body nobody reads to go on, both go to the disk at once, and are there when this returns.
        """
        if facts.run is None:
            retention = UNOWNED_RETENTION if facts.owner_id == NO_ACCOUNT else RETENTION
            payload = await self._payloads.put(facts.owner_id, body, retention=retention)
            return await self._append(*_received(payload, facts, target, event, guid))
        payload = await self._payloads.reference(facts.owner_id, body)
        archiving = asyncio.ensure_future(self._payloads.put(facts.owner_id, body))
        try:
            return await self._append(*_received(payload, facts, target, event, guid))
        except asyncio.CancelledError:
            archiving.cancel()  # else the time that is up would not be up for it
            raise
        finally:
            await archiving

    async def _append(self, stream: str, event: NewEvent) -> bool:
        try:
            await self._store.append(stream, [event], expected_version=0)
        except StreamConflict:
            return False
        return True


_NOBODY: Final = (HookTarget("", 0), "", "")


def _received(payload: PayloadRef, facts: Facts, target: HookTarget, event: str, guid: str) -> tuple[str, NewEvent]:
    """Return the webhook's stream and its event."""
    received = WebhookReceived(
        event=event,
        action=facts.action,
        guid=guid,
        hook_target_type=target.type,
        hook_target_id=target.id,
        payload=payload,
        run=facts.run,
    )
    stream = webhook.stream_of(target, guid)
    return stream, _event(received, facts, stream)


def _event(received: WebhookReceived, facts: Facts, stream: str) -> NewEvent:
    run, span = facts.run, current_span()
    subject = f"{run.repository_id}/{run.run_id}" if run else stream
    return NewEvent(
        body=received,
        source=SOURCE,
        subject=subject,
        correlationid=subject,
        causationid=f"github/{received.guid}",
        traceparent=span.traceparent if span else None,
        accountid=str(facts.owner_id) if facts.owner_id else None,
    )


def _check_content_type(headers: CIMultiDictProxy[str]) -> None:
    if headers.get(_CONTENT_TYPE, "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "unsupported_media_type", "Set the hook's content type to application/json.")


def _origin(headers: CIMultiDictProxy[str]) -> tuple[HookTarget, str, str]:
    """Return the hook's target, the event type and the delivery's GUID."""
    target_type = _matching(headers, _TARGET_TYPE, _WORD)
    target_id = int(_matching(headers, _TARGET_ID, _NUMBER))
    return HookTarget(target_type, target_id), _matching(headers, _EVENT, _WORD), _matching(headers, _GUID, _GUID_FORM)


def _matching(headers: CIMultiDictProxy[str], name: str, form: re.Pattern[str]) -> str:
    value = headers.get(name, "")
    if not form.fullmatch(value):
        raise Refusal(400, "invalid_header", f"{name} is {'not what GitHub sends' if value else 'missing'}.")
    return value
