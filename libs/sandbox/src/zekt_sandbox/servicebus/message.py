"""A message in its sections; those that the broker does not change stay encoded."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from zekt_sandbox.servicebus.amqp.decoding import decode, skip
from zekt_sandbox.servicebus.amqp.encoding import encode_map
from zekt_sandbox.servicebus.amqp.performatives import AmqpError, performative
from zekt_sandbox.servicebus.amqp.types import Symbol, Timestamp, UInt

BATCH_FORMAT: Final = 0x80013700
SYSTEM_PROPERTIES: Final = {
    "MessageId": 0,
    "To": 2,
    "Label": 3,
    "ReplyTo": 4,
    "CorrelationId": 5,
    "ContentType": 6,
    "SessionId": 10,
    "ReplyToSessionId": 12,
}
"""Where the system properties that rules can ask for stand in the properties section."""

_MESSAGE_ID, _REPLY_TO = 0, 4
_HEADER, _DELIVERY_ANNOTATIONS, _ANNOTATIONS, _PROPERTIES, _APPLICATION_PROPERTIES, _DATA = range(0x70, 0x76)
_HEADER_TTL, _HEADER_DELIVERY_COUNT = 2, 4
_SCHEDULED = Symbol("x-opt-scheduled-enqueue-time")
_MAX_ID_LENGTH = 128


@dataclass(eq=False)
class Message:
    """A message as it was sent; deliveries add their own annotations and count."""

    header: list[Any] = field(default_factory=list)
    annotations: dict[Any, Any] = field(default_factory=dict)
    raw_properties: bytes = b""
    raw_application_properties: bytes = b""
    raw_body: bytes = b""

    @classmethod
    def parse(cls, encoded: bytes) -> "Message":
        """Split an encoded message.

        Raises:
            AmqpError: it is not a message.
        """
        sections: dict[int, tuple[int, int, int]] = {}
        at = 0
        while at < len(encoded):
            descriptor, value_at = decode(encoded, at + 1)
            if int(descriptor) >= _DATA:
                return cls._of(encoded, sections, encoded[at:])
            end = skip(encoded, value_at)
            sections[int(descriptor)] = (at, value_at, end)
            at = end
        return cls._of(encoded, sections, b"")

    @classmethod
    def _of(cls, encoded: bytes, sections: dict[int, tuple[int, int, int]], body: bytes) -> "Message":
        def raw(section: int) -> bytes:
            start, _, end = sections.get(section, (0, 0, 0))
            return encoded[start:end]

        header, annotations = sections.get(_HEADER), sections.get(_ANNOTATIONS)
        return cls(
            decode(encoded, header[1])[0] if header else [],
            decode(encoded, annotations[1])[0] if annotations else {},
            raw(_PROPERTIES),
            raw(_APPLICATION_PROPERTIES),
            body,
        )

    @cached_property
    def properties(self) -> list[Any]:
        """The properties section, without the nulls at its end."""
        return decode(self.raw_properties)[0].value if self.raw_properties else []

    @cached_property
    def application_properties(self) -> dict[Any, Any]:
        """The sender's own properties."""
        return decode(self.raw_application_properties)[0].value if self.raw_application_properties else {}

    @property
    def id(self) -> Any:
        """The message id, whose type is the sender's choice; None without one."""
        return self.property(_MESSAGE_ID)

    @property
    def reply_to(self) -> Any:
        """Where an answer is to go."""
        return self.property(_REPLY_TO)

    @property
    def ttl_s(self) -> float | None:
        """How long it may wait, if the sender said."""
        ttl_ms = self.header[_HEADER_TTL] if len(self.header) > _HEADER_TTL else None
        return None if ttl_ms is None else ttl_ms / 1000

    @property
    def scheduled_at(self) -> float | None:
        """When it is to be enqueued, if not at once."""
        scheduled: Timestamp | None = self.annotations.get(_SCHEDULED)
        return None if scheduled is None else scheduled / 1000

    @property
    def value(self) -> Any:
        """The body of a request: one AMQP value."""
        return decode(self.raw_body)[0].value

    def property(self, index: int) -> Any:
        """One of the properties; None where it was left out."""
        return self.properties[index] if index < len(self.properties) else None

    def unbatched(self) -> list["Message"]:
        """The messages whose encodings are this one's data sections."""
        messages, at = [], 0
        while at < len(self.raw_body):
            section, at = decode(self.raw_body, at)
            messages.append(Message.parse(section.value))
        return messages

    def check(self) -> None:
        """Refuse what Service Bus refuses of a single message.

        Raises:
            AmqpError: the message id is too long.
        """
        if isinstance(self.id, str) and len(self.id) > _MAX_ID_LENGTH:
            raise AmqpError(
                "amqp:not-allowed", f"The length of the 'MessageId' property cannot exceed {_MAX_ID_LENGTH} characters."
            )

    def dead_lettered(self, source: str, reason: str | None, description: str | None) -> "Message":
        """The same message with where it comes from and why, as far as known."""
        told = {"DeadLetterReason": reason, "DeadLetterErrorDescription": description}
        properties = self.application_properties | {name: said for name, said in told.items() if said is not None}
        return replace(
            self,
            annotations=self.annotations | {Symbol("x-opt-deadletter-source"): source},
            raw_application_properties=b"\x00\x53\x74" + encode_map(properties),
        )

    def encode(self, delivery_count: int, annotations: dict[Any, Any]) -> bytes:
        """The message as it is delivered."""
        header = self.header + [None] * (_HEADER_DELIVERY_COUNT + 1 - len(self.header))
        header[_HEADER_DELIVERY_COUNT] = UInt(delivery_count)
        return b"".join(
            (
                performative(_HEADER, header),
                b"\x00\x53\x72",
                encode_map(self.annotations | annotations),
                self.raw_properties,
                self.raw_application_properties,
                self.raw_body,
            )
        )


def answer(request: Message, application_properties: dict[str, Any], body: bytes) -> bytes:
    """An encoded answer to a request, correlated by the request's id."""
    correlated = performative(_PROPERTIES, [None, None, None, None, None, request.id])
    return correlated + b"\x00\x53\x74" + encode_map(application_properties) + b"\x00\x53\x77" + body
