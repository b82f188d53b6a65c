"""Shield envelopes: payloads that the sender encrypted for each consumer, and that nobody here can read."""

import re
from typing import Any, Final, Literal

import msgspec

from zekt_common.errors import ZektError

TYPE: Final = "zekt-shield-envelope"
MAX_RECIPIENTS: Final = 100
MAX_CONSUMER_ID_LENGTH: Final = 256
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]++={0,2}")


class MalformedEnvelope(ZektError):
    """It calls itself a Shield envelope, but is not built like one; the message says where."""


class _Recipient(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    consumer_id: str
    encrypted_payload: str


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["zekt-shield-envelope"]
    recipients: list[_Recipient]
    algorithm: Literal["RSA-OAEP"]
    version: Literal["1.0"]


def is_shielded(payload: Any) -> bool:
    """Return whether the payload is a Shield envelope. It is then all ciphertext: nothing else fits into its shape.

    Raises:
        MalformedEnvelope: it says it is one, but has another shape.
    """
    if not isinstance(payload, dict) or payload.get("type") != TYPE:
        return False
    try:
        envelope = msgspec.convert(payload, _Envelope)
    except msgspec.ValidationError as error:
        raise MalformedEnvelope(f"The Shield envelope does not fit: {error}.") from None
    if not 0 < len(envelope.recipients) <= MAX_RECIPIENTS:
        raise MalformedEnvelope(f"A Shield envelope has 1 to {MAX_RECIPIENTS} recipients.")
    if not all(_is_encrypted(recipient) for recipient in envelope.recipients):
        raise MalformedEnvelope("A Shield envelope's recipients have a consumerId and an encryptedPayload in base64.")
    return True


def _is_encrypted(recipient: _Recipient) -> bool:
    plausible_id = 0 < len(recipient.consumer_id) <= MAX_CONSUMER_ID_LENGTH
    return plausible_id and _BASE64.fullmatch(recipient.encrypted_payload) is not None
