"""How much one append may hold, the same on every engine: what Cosmos DB takes in one batch.

Bytes count as Cosmos DB is sent them: the event is text in a JSON body of ASCII, so quotes and letters beyond ASCII
take more than they do in the event.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from zekt_common.envelope import EncodedEvent, Event
from zekt_common.errors import AppendTooLarge

MAX_EVENTS: Final = 99
MAX_BYTES: Final = 2_000_000
ENVELOPE_BYTES: Final = 1_000
_MOST_SENT_PER_BYTE: Final = 3


def sent_bytes(text: bytes) -> int:
    """Return how many bytes this much of an event takes on its way to Cosmos DB."""
    return len(json.dumps(text.decode()))


def weight(body: Event) -> int:
    """Return what an event counts against `MAX_BYTES`: its body as it is sent, and an allowance for its envelope."""
    return _weight(msgspec.json.encode(body))


def check_append(stream: str, events: Sequence[EncodedEvent]) -> None:
    """Pass what every engine takes.

    Raises:
        AppendTooLarge: these are too many events, or too many bytes.
    """
    if len(events) > MAX_EVENTS:
        raise AppendTooLarge(f"{stream}: {len(events)} events in one append are over {MAX_EVENTS}")
    if _may_be_too_many_bytes(events) and sum(_weight(event.data) for event in events) > MAX_BYTES:
        raise too_many_bytes(stream)


def too_many_bytes(stream: str) -> AppendTooLarge:
    """Return the error that says so."""
    return AppendTooLarge(f"{stream}: an append is over the limit of 2 MB: keep what is large as a payload")


def _may_be_too_many_bytes(events: Iterable[EncodedEvent]) -> bool:
    """Return False where the worst of texts would fit: nearly always, and at next to no cost."""
    return sum(_MOST_SENT_PER_BYTE * len(event.data) + ENVELOPE_BYTES for event in events) > MAX_BYTES


def _weight(data: bytes) -> int:
    return sent_bytes(data) + ENVELOPE_BYTES
