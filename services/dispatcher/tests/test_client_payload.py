import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from zekt_common.ports import PayloadRef
from zekt_dispatcher.client_payload import Undeliverable, dispatch_body, wants_content
from zekt_dispatcher.delivery_events import Order

PUBLIC_URL = "https://zekt.example"
SAFE = 60_000


def sent(order: Order, content: bytes | None = None) -> dict[str, Any]:
    body = dispatch_body(order, content, public_url=PUBLIC_URL, safe_size_bytes=SAFE)
    decoded: dict[str, Any] = json.loads(body)
    assert set(decoded) == {"event_type", "client_payload"}
    payload = decoded["client_payload"]
    assert len(json.dumps(payload, separators=(",", ":"))) <= SAFE
    assert len(payload) <= 10
    return decoded


def with_ref(order: Order, size_bytes: int) -> Order:
    reference = PayloadRef(
        account_id=10, sha256="ab" * 32, size_bytes=size_bytes, expires_at=datetime(2026, 6, 1, tzinfo=UTC)
    )
    return msgspec.structs.replace(order, payload=None, payload_ref=reference, size_bytes=size_bytes)


def inline(order: Order, size_bytes: int) -> Order:
    content = b'"' + b"x" * (size_bytes - 2) + b'"'
    return msgspec.structs.replace(order, payload=msgspec.Raw(content), size_bytes=size_bytes)


def test_a_consumer_receives_the_published_shape(order: Order) -> None:
    assert sent(order) == {
        "event_type": "deployment",
        "client_payload": {
            "zekt": {
                "correlationId": "4711",
                "deliveryId": order.delivery_id,
                "eventId": "evt-" + "m" * 32,
                "sourceRepo": "acme/provider",
                "service": {"slug": "ci-finished", "alias": "Acme CI"},
                "workflow": "CI",
                "conclusion": "success",
                "runAttempt": 1,
                "isReplay": False,
                "payload": {"a": "b"},
            },
            "customPayload": {"a": "b"},
        },
    }


def test_a_plain_event_has_no_payload(order: Order) -> None:
    plain = msgspec.structs.replace(order, message_id=None, payload=None, event_type="zekt-workflow-completed")
    payload = sent(plain)["client_payload"]
    assert set(payload) == {"zekt"}
    assert not {"payload", "payloadRef"} & set(payload["zekt"])
    assert payload["zekt"]["eventId"] == "evt-100-4711-1"


def test_the_payload_is_repeated_only_where_both_fit(order: Order) -> None:
    assert "customPayload" in sent(inline(order, 29_000))["client_payload"]
    payload = sent(inline(order, 31_000))["client_payload"]
    assert "customPayload" not in payload
    assert len(payload["zekt"]["payload"]) == 30_998


@pytest.mark.parametrize("size_bytes", [33_000, 59_000])
def test_a_stored_payload_that_fits_is_sent_inline(order: Order, size_bytes: int) -> None:
    stored = with_ref(order, size_bytes)
    assert wants_content(stored, SAFE)
    payload = sent(stored, b'"' + b"x" * (size_bytes - 2) + b'"')["client_payload"]
    assert len(payload["zekt"]["payload"]) == size_bytes - 2
    assert "payloadRef" not in payload["zekt"]


@pytest.mark.parametrize("size_bytes", [60_000, 524_288])
def test_a_payload_above_the_safe_size_is_referred_to(order: Order, size_bytes: int) -> None:
    stored = with_ref(order, size_bytes)
    assert not wants_content(stored, SAFE)
    assert sent(stored)["client_payload"]["zekt"]["payloadRef"] == {
        "url": f"https://zekt.example/api/payloads/{'ab' * 32}",
        "sha256": "ab" * 32,
        "sizeBytes": size_bytes,
        "expiresAt": "2026-06-01T00:00:00Z",
    }


def test_every_size_around_the_limit_is_sent_one_way_or_the_other(order: Order) -> None:
    for size_bytes in range(59_000, 60_001):
        stored = with_ref(order, size_bytes)
        content = b'"' + b"x" * (size_bytes - 2) + b'"' if wants_content(stored, SAFE) else None
        zekt = sent(stored, content)["client_payload"]["zekt"]
        assert ("payload" in zekt) == (content is not None)


def test_a_json_null_is_a_payload(order: Order) -> None:
    payload = sent(msgspec.structs.replace(order, payload=msgspec.Raw(b"null")))["client_payload"]
    assert payload["customPayload"] is None
    assert payload["zekt"]["payload"] is None


@pytest.mark.parametrize("event_type", ["", "x" * 101])
def test_an_event_type_that_github_refuses_is_not_sent(order: Order, event_type: str) -> None:
    with pytest.raises(Undeliverable, match="event type"):
        sent(msgspec.structs.replace(order, event_type=event_type))


def test_an_inline_payload_that_fits_nowhere_is_not_sent(order: Order) -> None:
    with pytest.raises(Undeliverable, match="does not fit"):
        sent(inline(order, 64_000))
