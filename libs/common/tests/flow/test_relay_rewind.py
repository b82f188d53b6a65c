import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from libs.common.tests.flow.relaying import (
    Noted,
    Start,
    published,
    relay,
    store,
    take,
    wipe_bus,
)
from libs.common.tests.patience import PATIENCE_S

from zekt_common.adapters.embedded import Backend
from zekt_common.envelope import Envelope, decode
from zekt_common.errors import UnknownSubscription
from zekt_common.kit.relay import LOOK_EVERY_S
from zekt_common.ports import OutgoingMessage, Put


async def test_after_the_loss_of_the_bus_a_rewind_publishes_everything_again(
    backend: Backend, start: Start, tmp_path: Path
) -> None:
    relaying = relay(backend)
    start(relaying.run())
    stored = [event for first in range(0, 1200, 80) for event in await store(backend, range(first, first + 80))]
    await published(relaying)
    wipe_bus(tmp_path)
    await relaying.rewind(datetime(2000, 1, 1, tzinfo=UTC))
    taken = await take(backend, 1200)
    assert [envelope for _, envelope in taken] == stored


async def test_a_rewind_gets_past_duplicate_detection_and_only_from_its_moment_on(
    backend: Backend, start: Start
) -> None:
    stopped = start(relay(backend).run())
    await store(backend, range(3))
    later = await store(backend, range(3, 6))
    first = dict(await take(backend, 6))
    stopped.cancel()
    await asyncio.wait([stopped])
    relaying = relay(backend)
    await relaying.rewind(later[0].time)
    start(relaying.run())
    copies = await take(backend, 3)
    fresh = await store(backend, [6])
    assert [envelope for _, envelope in copies] == later
    assert not first.keys() & dict(copies).keys()
    assert await take(backend, 1) == [(fresh[0].id, fresh[0])]


async def test_a_rewind_again_inside_the_window_gets_through_again(backend: Backend, start: Start) -> None:
    relaying = relay(backend)
    start(relaying.run())
    stored = await store(backend, range(3))
    await take(backend, 3)
    for _ in range(2):
        await relaying.rewind(stored[0].time)
        assert [envelope for _, envelope in await take(backend, 3)] == stored


async def test_a_running_relay_notices_a_rewind_by_another_process_though_nothing_new_is_stored(
    backend: Backend, start: Start
) -> None:
    assert LOOK_EVERY_S < 1
    start(relay(backend).run())
    stored = await store(backend, range(3))
    await take(backend, 3)
    await relay(backend).rewind(stored[0].time)
    assert [envelope for _, envelope in await take(backend, 3)] == stored


async def test_a_running_relay_notices_a_rewind_though_views_beside_its_events_are_written_all_the_time(
    backend: Backend, start: Start
) -> None:
    start(relay(backend).run())
    stored = await store(backend, range(3))
    await take(backend, 3)
    start(move_horizon(backend))
    await relay(backend).rewind(stored[0].time)
    assert [envelope for _, envelope in await take(backend, 3)] == stored


async def move_horizon(backend: Backend) -> None:
    """Write as the router does while ingress is active, but often enough that no pause is as long as a look's."""
    while True:
        await backend.views.write([Put(partition="watermarks", id="ingress", body=b"{}")], durable=False)
        await asyncio.sleep(LOOK_EVERY_S / 10)


async def test_a_rewind_never_skips_what_was_not_published_yet(backend: Backend, start: Start) -> None:
    stored = await store(backend, range(3))
    relaying = relay(backend)
    await relaying.rewind(datetime.now(UTC) + timedelta(hours=1))
    start(relaying.run())
    assert [envelope for _, envelope in await take(backend, 3)] == stored


async def test_a_rewind_for_one_subscription_reaches_that_one_alone(backend: Backend, start: Start) -> None:
    relaying = relay(backend)
    start(relaying.run())
    stored = [*await store(backend, range(3)), *await store(backend, [3])]
    await published(relaying)
    await asyncio.gather(take(backend, 4), take_of_identity(backend, 4))
    await relaying.rewind(stored[0].time, to="identity")
    assert await take_of_identity(backend, 4) == [each.id for each in stored]
    fresh = await store(backend, [4])
    assert await take(backend, 1) == [(fresh[0].id, fresh[0])]


async def test_a_rewind_for_one_subscription_loses_nothing_for_the_others(backend: Backend, start: Start) -> None:
    relaying = relay(backend)
    stored = await store(backend, range(3))
    await relaying.rewind(stored[0].time, to="identity")
    start(relaying.run())
    assert [envelope for _, envelope in await take(backend, 3)] == stored


async def test_a_rewind_for_one_while_one_for_all_is_under_way_is_for_all(backend: Backend, start: Start) -> None:
    stopped = start(relay(backend).run())
    stored = await store(backend, range(3))
    await take(backend, 3)
    stopped.cancel()
    await asyncio.wait([stopped])
    relaying = relay(backend)
    await relaying.rewind(stored[0].time)
    await relaying.rewind(stored[0].time, to="identity")
    start(relaying.run())
    assert [envelope for _, envelope in await take(backend, 3)] == stored


async def test_a_rewind_leaves_alone_what_was_addressed_to_others(backend: Backend, start: Start) -> None:
    def to_the_router(envelope: Envelope) -> Sequence[OutgoingMessage]:
        return [OutgoingMessage(envelope=envelope, to="router")]

    relaying = relay(backend, to_the_router)
    start(relaying.run())
    stored = await store(backend, range(3))
    await take(backend, 3)
    await relaying.rewind(stored[0].time, to="identity")
    await store(backend, [3])
    await take(backend, 1)
    assert await backend.bus.subscribe("ingress", "identity").backlog() == 0


async def test_a_rewind_for_nobody_is_refused(backend: Backend) -> None:
    with pytest.raises(UnknownSubscription):
        await relay(backend).rewind(datetime.now(UTC), to="dispatcher")


async def take_of_identity(backend: Backend, count: int) -> list[str]:
    """Receive and complete so many messages of the other subscription; return their envelopes' ids."""
    taken: list[str] = []
    receiving = backend.bus.subscribe("ingress", "identity")
    async with asyncio.timeout(PATIENCE_S):
        while len(taken) < count:
            for message in await receiving.receive(count - len(taken), timeout_s=1.0):
                taken.append(decode(message.body).id)
                await receiving.complete(message)
    return taken


async def test_after_a_rewind_watermarks_start_again_from_its_moment(backend: Backend, start: Start) -> None:
    relaying = relay(backend, watermarks=True)
    start(relaying.run())
    stored = await store(backend, range(3))
    seen: list[Envelope] = []
    while not seen or seen[-1].time <= stored[-1].time:
        seen += [envelope for _, envelope in await take(backend, 1)]
    await relaying.rewind(stored[0].time)
    copies: list[Envelope] = []
    async with asyncio.timeout(PATIENCE_S):
        while sum(envelope.type == Noted.TYPE for envelope in copies) < 3:
            copies += [envelope for _, envelope in await take(backend, 1)]
    back = next(i for i, envelope in enumerate(copies) if envelope.time < stored[0].time)
    assert back < min(i for i, envelope in enumerate(copies) if envelope.type == Noted.TYPE)
