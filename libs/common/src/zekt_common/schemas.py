"""From type strings to event classes: decoding with upcasts, rung by rung, on read."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from zekt_common.envelope import Envelope, Event
from zekt_common.errors import UnknownEventType

Upcast = Callable[[dict[str, Any]], dict[str, Any]]


class Schemas:
    """The event types that one reader understands.

    An upcast keyed `(type, n)` turns data of schema version n into data of version n + 1.
    """

    def __init__(self, events: Iterable[type[Event]], upcasts: Mapping[tuple[str, int], Upcast] | None = None) -> None:
        self._classes = {event.TYPE: event for event in events}
        self._decoders = {kind: msgspec.json.Decoder(cls) for kind, cls in self._classes.items()}
        self._upcasts = dict(upcasts or {})

    def __contains__(self, kind: str) -> bool:
        return kind in self._classes

    def __iter__(self) -> Iterator[type[Event]]:
        return iter(self._classes.values())

    def decode(self, envelope: Envelope) -> Event:
        """Return the envelope's data as an instance of its class, upcast to today's schema version.

        Raises:
            UnknownEventType: the type, or a rung from its schema version to today's, is not registered.
            msgspec.ValidationError: the data does not have the shape of its class.
        """
        cls = self._classes.get(envelope.type)
        if cls is None:
            raise UnknownEventType(f"{envelope.type} is not an event this reader understands")
        if envelope.schemaversion == cls.SCHEMA_VERSION:
            return self._decoders[envelope.type].decode(envelope.data)
        return msgspec.convert(self._climb(envelope, cls.SCHEMA_VERSION), cls)

    def _climb(self, envelope: Envelope, target: int) -> dict[str, Any]:
        fields: dict[str, Any] = msgspec.json.decode(envelope.data)
        for rung in range(envelope.schemaversion, target):
            upcast = self._upcasts.get((envelope.type, rung))
            if upcast is None:
                raise UnknownEventType(f"{envelope.type} has no upcast from schema version {rung}")
            fields = upcast(fields)
        if envelope.schemaversion > target:
            raise UnknownEventType(f"{envelope.type} schema version {envelope.schemaversion} is newer than {target}")
        return fields
