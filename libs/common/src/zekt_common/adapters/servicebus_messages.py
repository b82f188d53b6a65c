"""What a message looks like on Service Bus: the envelope as body, and our own properties as strings.

The SDK cannot send integers of 2³¹ and more, and gives received names and strings back as bytes.
"""

from datetime import UTC, datetime

from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage

from zekt_common.adapters.servicebus_topology import ADDRESS
from zekt_common.envelope import encode
from zekt_common.errors import MessageTooLarge
from zekt_common.ports.bus import DeadLetter, OutgoingMessage, ReceivedMessage

MAX_MESSAGE_BYTES = 256 * 1024
MAX_REASON = 1024
_ATTEMPT = "attempt"
_SUBJECT = "subject"


def outgoing(message: OutgoingMessage) -> ServiceBusMessage:
    """Return the message as it travels.

    Raises:
        MessageTooLarge: the encoded envelope alone is over 256 KB.
    """
    body = encode(message.envelope)
    if len(body) > MAX_MESSAGE_BYTES:
        raise too_large(message.envelope.id)
    return ServiceBusMessage(
        body,
        message_id=message_id(message),
        content_type="application/json",
        scheduled_enqueue_time_utc=message.not_before,
        application_properties={
            ADDRESS: message.to,
            _ATTEMPT: str(message.attempt),
            _SUBJECT: message.envelope.subject,
        },
    )


def message_id(message: OutgoingMessage) -> str:
    """Return what duplicate detection compares."""
    return message.message_id or message.envelope.id


def too_large(id_: str) -> MessageTooLarge:
    """Return the error for a message that Service Bus will never take."""
    return MessageTooLarge(
        f"{id_} is over the {MAX_MESSAGE_BYTES} bytes of a message with its properties: send a reference"
    )


def retry_copy(message: ServiceBusReceivedMessage, subscription: str, due: datetime | None) -> ServiceBusMessage:
    """Return the message's next attempt, for this subscription alone, at once or when it is due.

    It is named after the first copy's id: the retries of a replay must not be taken for those of the original.
    """
    suffix = f"~{subscription}~r"
    id_ = message.message_id or ""
    next_attempt = attempt(message) + 1
    return ServiceBusMessage(
        body(message),
        message_id=f"{id_.rpartition(suffix)[0] or id_}{suffix}{next_attempt}",
        content_type=message.content_type,
        scheduled_enqueue_time_utc=due,
        application_properties={ADDRESS: subscription, _ATTEMPT: str(next_attempt), _SUBJECT: subject(message)},
    )


def received(message: ServiceBusReceivedMessage, locked_until: datetime) -> ReceivedMessage:
    """Return the message as the port gives it out, locked until then by our own clock."""
    return ReceivedMessage(
        message_id=message.message_id or "",
        attempt=attempt(message),
        body=body(message),
        lock=str(message.lock_token),
        locked_until=locked_until,
        sequence=message.sequence_number or 0,
    )


def dead_letter(message: ServiceBusReceivedMessage, topic: str, subscription: str) -> DeadLetter:
    """Return a peeked dead letter; one that the broker itself gave up has the time of its publication."""
    return DeadLetter(
        sequence=message.sequence_number or 0,
        topic=topic,
        subscription=subscription,
        message_id=message.message_id or "",
        attempt=attempt(message),
        reason=message.dead_letter_reason or "",
        at=_time(message.dead_letter_error_description) or message.enqueued_time_utc or datetime.now(UTC),
        body=body(message),
    )


def body(message: ServiceBusReceivedMessage) -> bytes:
    """Return the body's bytes."""
    return b"".join(message.body)


def attempt(message: ServiceBusReceivedMessage) -> int:
    """Return the attempt that the message carries; a foreign message without one counts as the first."""
    told = _property(message, _ATTEMPT)
    return int(told) if told.isdecimal() else 1


def subject(message: ServiceBusReceivedMessage) -> str:
    """Return the envelope's subject without decoding the envelope."""
    return _property(message, _SUBJECT)


def address(message: ServiceBusReceivedMessage) -> str:
    """Return whom the message is for."""
    return _property(message, ADDRESS)


def _property(message: ServiceBusReceivedMessage, name: str) -> str:
    value = (message.application_properties or {}).get(name.encode(), b"")
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text or "")
    except ValueError:
        return None
