"""What a consumer receives: one `repository_dispatch` body, within GitHub's limits."""

from datetime import datetime
from typing import Final

import msgspec

from zekt_common.errors import ZektError
from zekt_common.inline_json import InlineJson
from zekt_dispatcher.delivery_events import Order

MAX_EVENT_TYPE_LENGTH: Final = 100
SAFE_SIZE_BYTES: Final = 60_000
"""GitHub refuses a `client_payload` of 64 KB; how it counts is not documented, so that some room is left."""
LEAST_SAFE_SIZE_BYTES: Final = 40_000
_PAYLOAD_KEY_BYTES: Final = len(b',"payload":')


class Undeliverable(ZektError):
    """GitHub would refuse this dispatch, whoever sent it."""


class PayloadLink(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where the consumer's workflow fetches the payload with its own OIDC token."""

    url: str
    sha256: str
    size_bytes: int
    expires_at: datetime


class ServiceName(msgspec.Struct, frozen=True, kw_only=True):
    """The service as its provider presents it."""

    slug: str
    alias: str


class Zekt(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The key `zekt` of the client payload."""

    correlation_id: str
    delivery_id: str
    event_id: str
    source_repo: str
    service: ServiceName
    workflow: str
    conclusion: str
    run_attempt: int
    is_replay: bool
    payload: InlineJson = None
    payload_ref: PayloadLink | None = None


class ClientPayload(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """All of it: two of the ten top-level keys that GitHub allows."""

    zekt: Zekt
    custom_payload: InlineJson = None


class RepositoryDispatch(msgspec.Struct, frozen=True, kw_only=True):
    """The body of the POST."""

    event_type: str
    client_payload: msgspec.Raw


_encoder = msgspec.json.Encoder()


def wants_content(order: Order, safe_size_bytes: int = SAFE_SIZE_BYTES) -> bool:
    """Return whether the payload that the order refers to is to be fetched, since it fits into the dispatch."""
    if order.payload_ref is None:
        return False
    frame_bytes = len(_encoder.encode(ClientPayload(zekt=_zekt(order)))) + _PAYLOAD_KEY_BYTES
    return frame_bytes + order.payload_ref.size_bytes <= safe_size_bytes


def dispatch_body(
    order: Order, content: bytes | None, *, public_url: str, safe_size_bytes: int = SAFE_SIZE_BYTES
) -> bytes:
    """Return the body of the POST; `content` is the fetched payload, where `wants_content` asked for it.

    Raises:
        Undeliverable: GitHub would refuse the event type or the size.
    """
    if not 0 < len(order.event_type) <= MAX_EVENT_TYPE_LENGTH:
        raise Undeliverable(f"the event type has {len(order.event_type)} characters; GitHub takes 1 to 100")
    payload = order.payload if content is None else msgspec.Raw(content)
    for candidate in _candidates(order, payload, public_url):
        encoded = _encoder.encode(candidate)
        if len(encoded) <= safe_size_bytes:
            return _encoder.encode(RepositoryDispatch(event_type=order.event_type, client_payload=msgspec.Raw(encoded)))
    raise Undeliverable(f"the payload of {order.size_bytes} bytes does not fit into a dispatch")


def _candidates(order: Order, payload: InlineJson, public_url: str) -> list[ClientPayload]:
    """Return what could be sent, best first: the payload twice, once, or where it is."""
    zekt = _zekt(order)
    if payload is None and order.payload_ref is None:
        return [ClientPayload(zekt=zekt)]
    candidates = []
    if payload is not None:
        inline = msgspec.structs.replace(zekt, payload=payload)
        candidates = [ClientPayload(zekt=inline, custom_payload=payload), ClientPayload(zekt=inline)]
    if order.payload_ref is not None:
        link = PayloadLink(
            url=f"{public_url}/api/payloads/{order.payload_ref.sha256}",
            sha256=order.payload_ref.sha256,
            size_bytes=order.payload_ref.size_bytes,
            expires_at=order.payload_ref.expires_at,
        )
        candidates.append(ClientPayload(zekt=msgspec.structs.replace(zekt, payload_ref=link)))
    return candidates


def _zekt(order: Order) -> Zekt:
    return Zekt(
        correlation_id=str(order.run_id),
        delivery_id=order.delivery_id,
        event_id=_event_id(order),
        source_repo=order.source.repository,
        service=ServiceName(slug=order.source.service_slug, alias=order.source.service_alias),
        workflow=order.source.workflow,
        conclusion=order.source.conclusion,
        run_attempt=order.run_attempt,
        is_replay=order.is_replay,
    )


def _event_id(order: Order) -> str:
    """Return the id that the message's sender was told, or one that the run alone determines."""
    if order.message_id is not None:
        return f"evt-{order.message_id}"
    return f"evt-{order.repository_id}-{order.run_id}-{order.run_attempt}"
