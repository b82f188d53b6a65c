"""Stored events are for ever: every type has a golden file, and every golden file decodes to what it says."""

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from zekt_common.envelope import Event, NewEvent, decode, encode, seal
from zekt_dispatcher.delivery_events import SCHEMAS

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.json"))


def name_of(event: type[Event]) -> str:
    return f"{event.TYPE}.v{event.SCHEMA_VERSION}.json"


def test_every_stored_event_type_has_a_golden_file() -> None:
    assert {name_of(event) for event in SCHEMAS} <= {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_golden_file_decodes_for_ever(path: Path) -> None:
    """The data written again from what was read is the data that was read: nothing is lost, nothing invented."""
    envelope = decode(path.read_bytes())
    event = SCHEMAS.decode(envelope)
    assert path.name == f"{envelope.type}.v{envelope.schemaversion}.json"
    stored = json.loads(bytes(envelope.data))
    assert json.loads(msgspec.json.encode(event)).items() >= stored.items()
    again = seal(_as_new(event), stream=envelope.stream, version=1, commitid="c" * 16, time=datetime.now(UTC))
    assert SCHEMAS.decode(decode(encode(again))) == event


def _as_new(event: Event) -> NewEvent:
    return NewEvent(body=event, source="zekt/dispatcher", subject="1/2", correlationid="1/2", causationid="x")
