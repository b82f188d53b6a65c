from datetime import UTC, datetime

import msgspec

from zekt_common.contracts.ingress import Watermark
from zekt_common.envelope import decode
from zekt_ingress.translate import watermark

from .conftest import Running

NOON = datetime(2026, 1, 1, 12, 0, 0, 1, tzinfo=UTC)


def test_the_same_watermark_is_the_same_message() -> None:
    first, second = watermark(NOON), watermark(NOON)
    assert first == second
    assert first.to == "router"
    assert first.envelope.id == "watermark@1767268800000001"
    assert msgspec.json.decode(first.envelope.data, type=Watermark) == Watermark(through=NOON)


async def test_an_idle_ingress_tells_how_far_it_has_published(running: Running) -> None:
    receiver = running.backend.bus.subscribe("ingress", "router")
    began = await running.backend.store.horizon()
    through = datetime.min.replace(tzinfo=UTC)
    while through < began:
        for message in await receiver.receive(1, timeout_s=5):
            envelope = decode(message.body)
            assert envelope.type == Watermark.TYPE
            through = msgspec.json.decode(envelope.data, type=Watermark).through
            await receiver.complete(message)
