"""A message that nobody can deal with."""

from datetime import UTC, datetime

import msgspec

from zekt_common.contracts.router import DeliveryRequested
from zekt_common.envelope import Envelope


def from_a_newer_program() -> Envelope:
    """A request for a delivery in a schema version that nobody here knows yet."""
    return Envelope(
        specversion="1.0",
        id="run/1/2/1@9",
        source="/zekt/router",
        type=DeliveryRequested.TYPE,
        subject="1/2",
        time=datetime.now(UTC),
        datacontenttype="application/json",
        stream="run/1/2/1",
        version=9,
        commitid="c",
        schemaversion=DeliveryRequested.SCHEMA_VERSION + 1,
        correlationid="2",
        causationid="run/1/2/1@8",
        data=msgspec.Raw(b"{}"),
    )
