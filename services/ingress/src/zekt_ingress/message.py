"""A message of a run, stream `message/{repository_id}/{run_id}/{message id}`: one append, which decides.

The message id is a hash of the request's body, so that a repeated request is the same message.
"""

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final, TypeAlias

import msgspec

from zekt_common.envelope import Event
from zekt_common.errors import ZektError
from zekt_common.inline_json import InlineJson
from zekt_common.ports.payloads import PayloadRef
from zekt_common.schemas import Schemas
from zekt_ingress.redaction import Finding, holds_secret, redact
from zekt_ingress.shield import is_shielded

MAX_PAYLOAD_BYTES: Final = 512 * 1024
MAX_DEPTH: Final = 100
ID_LENGTH: Final = 32

_EventType: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"\A[^\x00-\x1f\x7f]+\Z")]


class StepReference(msgspec.Struct, frozen=True):
    """The orchestration step whose output a message is."""

    execution_id: str
    step_id: str


class MessageRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the published action posts. Who and which run it comes from is believed from its token alone."""

    event_type: _EventType
    repository: str
    workflow_run_id: str | int
    payload: Any
    orchestration_step_ref: StepReference | None = msgspec.field(default=None, name="orchestration_step_ref")


class MessageReceived(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A run posted this message; what is here is what was left of it after redaction."""

    TYPE: ClassVar[str] = "dev.zekt.message.received"

    message_id: str
    repository_id: int
    repository: str
    owner_id: int
    run_id: int
    run_attempt: int
    workflow_path: str
    event_type: str
    size_bytes: int
    payload: InlineJson = None
    payload_ref: PayloadRef | None = None


class RedactionFound(Event, frozen=True, kw_only=True):
    """The guard took secrets out of the message: `total` of them, of which the first 100 are told."""

    TYPE: ClassVar[str] = "dev.zekt.message.redaction-found"

    findings: list[Finding]
    total: int


MESSAGE_SCHEMAS: Final = Schemas([MessageReceived, RedactionFound])


class Malformed(ZektError):
    """The request's body is not what the action sends; the message says what to change."""


class PayloadTooLarge(ZektError):
    """The payload is over 512 KB of JSON in UTF-8."""


class Content(msgspec.Struct, frozen=True):
    """A payload fit to be stored, as compact JSON, and what the guard took out of it."""

    json: bytes
    redaction: RedactionFound | None


def parse(body: bytes) -> MessageRequest:
    """Return the request in this body.

    Raises:
        Malformed: it holds none.
    """
    try:
        request = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Malformed(f"The request body does not fit: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed("The request body is no JSON. Send one JSON object in UTF-8.") from None
    except RecursionError:
        raise _too_deep() from None
    if holds_secret(request.event_type):
        raise Malformed(
            "The eventType holds a secret. It is not protected: choose a plain name, and revoke the secret."
        )
    return request


def prepare(payload: Any) -> Content:
    """Return the payload's JSON without secrets; a Shield envelope stays as it is.

    Raises:
        Malformed: it is nested too deeply, or is a Shield envelope of a wrong shape.
        PayloadTooLarge: it is over the limit, before redaction.
    """
    if _deeper(payload, MAX_DEPTH):
        raise _too_deep()
    encoded = msgspec.json.encode(payload)
    if len(encoded) > MAX_PAYLOAD_BYTES:
        raise PayloadTooLarge(f"{len(encoded)} bytes")
    if is_shielded(payload):
        return Content(encoded, None)
    redacted = redact(payload, encoded.decode())
    if not redacted.total:
        return Content(encoded, None)
    found = RedactionFound(findings=redacted.findings, total=redacted.total)
    return Content(msgspec.json.encode(redacted.value), found)


def message_id_of(body: bytes) -> str:
    """Return the id of the message in this request body."""
    return hashlib.sha256(body).hexdigest()[:ID_LENGTH]


def stream_of(repository_id: int, run_id: int, message_id: str) -> str:
    """Return the message's stream."""
    return f"message/{repository_id}/{run_id}/{message_id}"


_decoder: Final = msgspec.json.Decoder(MessageRequest)


def _too_deep() -> Malformed:
    return Malformed(f"The payload is nested too deeply. At most {MAX_DEPTH} levels are passed on.")


def _deeper(value: Any, levels: int) -> bool:
    """Return whether the value has more than so many levels of arrays and objects."""
    level = [value]
    for _ in range(levels):
        level = [item for container in level for item in _items(container)]
        if not level:
            return False
    return True


def _items(value: Any) -> Sequence[Any]:
    """Return the containers right below, if this is one."""
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in below if isinstance(item, dict | list)]
