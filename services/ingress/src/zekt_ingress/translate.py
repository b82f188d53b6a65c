"""From ingress's stored events to what it publishes: runs and messages for the router, the App's own for identity."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from zekt_common.clock import to_micros
from zekt_common.contracts import ingress as contract
from zekt_common.envelope import Envelope, Event, republish
from zekt_common.ports import OutgoingMessage
from zekt_ingress.message import MESSAGE_SCHEMAS, MessageReceived
from zekt_ingress.signatures import APP_TARGET
from zekt_ingress.webhook import WEBHOOK_SCHEMAS, CompletedRun, WebhookReceived

SOURCE: Final = "zekt/ingress"
ROUTER: Final = "router"
IDENTITY: Final = "identity"
APP_EVENTS: Final = frozenset(
    {"installation", "installation_repositories", "installation_target", "repository", "github_app_authorization"}
)
_WATERMARK: Final = "watermark"


def translate(envelope: Envelope) -> Sequence[OutgoingMessage]:
    """Return what others hear of a stored event; nothing of webhooks that concern none of them."""
    match envelope.type:
        case WebhookReceived.TYPE:
            webhook = WEBHOOK_SCHEMAS.decode(envelope)
            if isinstance(webhook, WebhookReceived):
                return _of_webhook(envelope, webhook)
        case MessageReceived.TYPE:
            message = MESSAGE_SCHEMAS.decode(envelope)
            if isinstance(message, MessageReceived):
                return [_to_router(envelope, _message_received(message, envelope.time))]
    return []


def watermark(through: datetime) -> OutgoingMessage:
    """Return the message that everything stored up to `through` has been published."""
    body = contract.Watermark(through=through)
    envelope = Envelope(
        specversion="1.0",
        id=f"{_WATERMARK}@{to_micros(through)}",
        source=SOURCE,
        type=body.TYPE,
        subject=_WATERMARK,
        time=through,
        datacontenttype="application/json",
        stream=_WATERMARK,
        version=to_micros(through),
        commitid=_WATERMARK,
        schemaversion=body.SCHEMA_VERSION,
        correlationid=_WATERMARK,
        causationid=_WATERMARK,
        data=msgspec.Raw(msgspec.json.encode(body)),
    )
    return OutgoingMessage(envelope=envelope, to=ROUTER)


def _of_webhook(stored: Envelope, webhook: WebhookReceived) -> Sequence[OutgoingMessage]:
    """Return what concerns the router, or identity: a repository's own hook has no say in what the App is told."""
    if webhook.run is not None:
        return [_to_router(stored, _run_completed(webhook.run, stored.time))]
    if webhook.event not in APP_EVENTS or webhook.hook_target_type != APP_TARGET:
        return []
    body = contract.AppWebhookReceived(
        received_at=stored.time, event=webhook.event, action=webhook.action, payload_ref=webhook.payload
    )
    return [OutgoingMessage(envelope=republish(stored, body, source=SOURCE), to=IDENTITY)]


def _to_router(stored: Envelope, body: Event) -> OutgoingMessage:
    return OutgoingMessage(envelope=republish(stored, body, source=SOURCE), to=ROUTER)


def _run_completed(run: CompletedRun, received_at: datetime) -> contract.RunCompleted:
    return contract.RunCompleted(
        received_at=received_at,
        repository_id=run.repository_id,
        repository=run.repository,
        owner_id=run.owner_id,
        run_id=run.run_id,
        run_attempt=run.run_attempt,
        workflow_path=run.workflow_path,
        workflow_name=run.workflow_name,
        conclusion=run.conclusion,
        trigger=run.trigger,
        branch=run.branch,
        commit_sha=run.commit_sha,
        head_repository_id=run.head_repository_id,
        installation_id=run.installation_id,
    )


def _message_received(message: MessageReceived, received_at: datetime) -> contract.MessageReceived:
    return contract.MessageReceived(
        received_at=received_at,
        message_id=message.message_id,
        repository_id=message.repository_id,
        repository=message.repository,
        owner_id=message.owner_id,
        run_id=message.run_id,
        run_attempt=message.run_attempt,
        workflow_path=message.workflow_path,
        event_type=message.event_type,
        size_bytes=message.size_bytes,
        payload=message.payload,
        payload_ref=message.payload_ref,
    )
