"""The one envelope of stored events and bus messages: CloudEvents 1.0 attribute names with Zekt's extensions.

`id` is deterministic (`{stream}@{version}`), so that a repeat is recognised wherever it turns up.
"""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

import msgspec

from zekt_common.errors import InvalidStream

MAX_ID_LENGTH = 96
MAX_STREAM_LENGTH = 84
_STREAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*\Z")


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an envelope carries in `data`: a past-tense fact with a stable type string."""

    TYPE: ClassVar[str]
    SCHEMA_VERSION: ClassVar[int] = 1


class NewEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event about to be appended; the store gives it its version, id, commit and time."""

    body: Event
    source: str
    subject: str
    correlationid: str
    causationid: str
    traceparent: str | None = None
    accountid: str | None = None


class EncodedEvent(msgspec.Struct, frozen=True, gc=False):
    """A new event whose body is encoded already, so that a writer needs nothing of the service that it comes from."""

    type: str
    schemaversion: int
    data: bytes
    source: str
    subject: str
    correlationid: str
    causationid: str
    traceparent: str | None
    accountid: str | None


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One event as it is stored and as it travels; `data` stays encoded until somebody needs it."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str
    stream: str
    version: int
    commitid: str
    schemaversion: int
    correlationid: str
    causationid: str
    traceparent: str | None = None
    accountid: str | None = None
    data: msgspec.Raw


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Envelope)
_page_decoder = msgspec.json.Decoder(list[Envelope])


def encode(envelope: Envelope) -> bytes:
    """Return the envelope as JSON bytes, the form in every store and on every wire."""
    return _encoder.encode(envelope)


def decode(encoded: bytes | str) -> Envelope:
    """Return the envelope in these JSON bytes.

    Raises:
        msgspec.ValidationError: the bytes are JSON, but no envelope.
        msgspec.DecodeError: the bytes are no JSON.
    """
    return _decoder.decode(encoded)


def decode_page(encoded: bytes | str) -> list[Envelope]:
    """Return the envelopes in a JSON array, decoded in one call: the fast path of replay."""
    return _page_decoder.decode(encoded)


def check_stream(stream: str) -> str:
    """Return `stream` if it can name a stream.

    Raises:
        InvalidStream: it is empty, longer than 84 characters, or holds a character outside `A-Za-z0-9._:/-`.
    """
    if len(stream) > MAX_STREAM_LENGTH or not _STREAM.match(stream):
        raise InvalidStream(f"{stream[:120]!r} cannot name a stream: 1 to 84 characters of A-Z a-z 0-9 . _ : / -")
    return stream


def new_commit_id() -> str:
    """Return a fresh id shared by all events of one append, by which a writer recognises its own write."""
    return secrets.token_hex(8)


def encode_event(event: NewEvent) -> EncodedEvent:
    """Return the event with its body encoded."""
    return EncodedEvent(
        event.body.TYPE,
        event.body.SCHEMA_VERSION,
        _encoder.encode(event.body),
        event.source,
        event.subject,
        event.correlationid,
        event.causationid,
        event.traceparent,
        event.accountid,
    )


def seal(event: NewEvent, *, stream: str, version: int, commitid: str, time: datetime) -> Envelope:
    """Return the envelope of `event` at its place in its stream."""
    return seal_encoded(encode_event(event), stream=stream, version=version, commitid=commitid, time=time)


def seal_encoded(event: EncodedEvent, *, stream: str, version: int, commitid: str, time: datetime) -> Envelope:
    """Return the envelope of `event` at its place in its stream."""
    return Envelope(
        specversion="1.0",
        id=f"{stream}@{version}",
        source=event.source,
        type=event.type,
        subject=event.subject,
        time=time,
        datacontenttype="application/json",
        stream=stream,
        version=version,
        commitid=commitid,
        schemaversion=event.schemaversion,
        correlationid=event.correlationid,
        causationid=event.causationid,
        traceparent=event.traceparent,
        accountid=event.accountid,
        data=msgspec.Raw(event.data),
    )


def republish(envelope: Envelope, body: Event, *, source: str, part: int | None = None) -> Envelope:
    """Return a message about a stored event: same stream, version, commit and time, with `body` as its data.

    `part` numbers the messages when one event yields several, and becomes part of the id.
    """
    return msgspec.structs.replace(
        envelope,
        id=envelope.id if part is None else f"{envelope.id}.{part}",
        source=source,
        type=body.TYPE,
        schemaversion=body.SCHEMA_VERSION,
        causationid=envelope.id,
        data=msgspec.Raw(_encoder.encode(body)),
    )


def caused_by(cause: Envelope, bodies: Sequence[Event], *, source: str) -> list[NewEvent]:
    """Return new events that `cause` led to: same subject, correlation, account and trace."""
    return [
        NewEvent(
            body=body,
            source=source,
            subject=cause.subject,
            correlationid=cause.correlationid,
            causationid=cause.id,
            traceparent=cause.traceparent,
            accountid=cause.accountid,
        )
        for body in bodies
    ]
