import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zekt_common.envelope import (
    MAX_ID_LENGTH,
    MAX_STREAM_LENGTH,
    Event,
    NewEvent,
    caused_by,
    check_stream,
    decode,
    decode_page,
    encode,
    republish,
    seal,
)
from zekt_common.errors import InvalidStream, UnknownEventType
from zekt_common.schemas import Schemas

GOLDEN = Path(__file__).parent / "golden"
TIME = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class Renamed(Event, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "dev.zekt.test.renamed"
    SCHEMA_VERSION: ClassVar[int] = 3

    name: str
    reason: str


def add_reason(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "reason": "unknown"}


def split_name(fields: dict[str, Any]) -> dict[str, Any]:
    return {"name": fields["title"], "reason": fields["reason"]}


SCHEMAS = Schemas([Renamed], {(Renamed.TYPE, 1): add_reason, (Renamed.TYPE, 2): split_name})


def sealed(version: int = 1, **extensions: str) -> Any:
    event = NewEvent(
        body=Renamed(name="new", reason="why"),
        source="zekt/test",
        subject="1/2",
        correlationid="1/2",
        causationid="somebody",
        **extensions,
    )
    return seal(event, stream="thing/1", version=version, commitid="0123456789abcdef", time=TIME)


def test_an_envelope_is_a_cloud_event_as_stored_in_the_golden_file() -> None:
    envelope = sealed(traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01", accountid="7")
    golden = GOLDEN / "envelope.v1.json"
    assert json.loads(encode(envelope)) == json.loads(golden.read_text())
    assert json.loads(encode(decode(golden.read_bytes()))) == json.loads(encode(envelope))


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_schema_version_decodes_for_ever(version: int) -> None:
    envelope = decode((GOLDEN / f"renamed.v{version}.json").read_bytes())
    assert envelope.schemaversion == version
    assert SCHEMAS.decode(envelope) == Renamed(name="new", reason="unknown" if version == 1 else "why")


def test_a_newer_schema_version_is_refused_instead_of_guessed() -> None:
    newer = msgspec.structs.replace(sealed(), schemaversion=4)
    with pytest.raises(UnknownEventType, match="newer than 3"):
        SCHEMAS.decode(newer)


def test_a_missing_rung_is_named() -> None:
    older = msgspec.structs.replace(sealed(), schemaversion=1)
    with pytest.raises(UnknownEventType, match="no upcast from schema version 1"):
        Schemas([Renamed], {(Renamed.TYPE, 2): split_name}).decode(older)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(UnknownEventType, match="not an event"):
        Schemas([]).decode(sealed())


@settings(deadline=None)
@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,83}", fullmatch=True), st.integers(1, 10**10))
def test_an_id_of_any_stream_fits(stream: str, version: int) -> None:
    assert len(f"{check_stream(stream)}@{version}") <= MAX_ID_LENGTH


@pytest.mark.parametrize("stream", ["", "/a", "a b", "a@1", "é", "a\n", "x" * (MAX_STREAM_LENGTH + 1)])
def test_what_cannot_name_a_stream_is_refused(stream: str) -> None:
    with pytest.raises(InvalidStream):
        check_stream(stream)


@settings(deadline=None)
@given(st.text(), st.text())
def test_any_text_survives_the_way_through_a_page(name: str, reason: str) -> None:
    event = NewEvent(
        body=Renamed(name=name, reason=reason), source="s", subject="s", correlationid="c", causationid="c"
    )
    envelope = seal(event, stream="thing/1", version=1, commitid="c", time=TIME)
    [back] = decode_page(b"[" + encode(envelope) + b"]")
    assert SCHEMAS.decode(back) == Renamed(name=name, reason=reason)


def test_a_message_keeps_the_place_of_the_event_it_is_about() -> None:
    envelope = sealed()
    parts = [republish(envelope, Renamed(name="x", reason="y"), source="zekt/other", part=part) for part in (0, 1)]
    assert [part.id for part in parts] == ["thing/1@1.0", "thing/1@1.1"]
    assert {(part.stream, part.version, part.commitid, part.time) for part in parts} == {
        ("thing/1", 1, envelope.commitid, TIME)
    }
    assert {part.causationid for part in parts} == {"thing/1@1"}


def test_what_an_event_causes_shares_its_correlation_account_and_trace() -> None:
    cause = sealed(traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01", accountid="7")
    [effect] = caused_by(cause, [Renamed(name="x", reason="y")], source="zekt/other")
    assert (effect.correlationid, effect.accountid, effect.traceparent) == ("1/2", "7", cause.traceparent)
    assert effect.causationid == cause.id
