"""Stored events are for ever: every type has a golden file, and every golden file decodes to what it says."""

from pathlib import Path

import msgspec
import pytest

from zekt_common.envelope import Event, decode, encode
from zekt_identity.projections import SCHEMAS

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.json"))


def name_of(event: type[Event]) -> str:
    return f"{event.TYPE}.v{event.SCHEMA_VERSION}.json"


def test_every_stored_event_type_has_a_golden_file() -> None:
    assert {name_of(event) for event in SCHEMAS} <= {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_golden_file_decodes_for_ever(path: Path) -> None:
    """What was read, written again, is the file: nothing is lost, nothing invented."""
    envelope = decode(path.read_bytes())
    event = SCHEMAS.decode(envelope)
    assert path.name == f"{envelope.type}.v{envelope.schemaversion}.json"
    again = msgspec.structs.replace(envelope, data=msgspec.Raw(msgspec.json.encode(event)))
    assert encode(again) == path.read_bytes().rstrip(b"\n")
