"""Runs' transactions on the real store: resumed after any cut, decided from the version they started with."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from services.router.tests.stored_runs import (
    CONSUMER,
    STREAM,
    SUBSCRIBERS,
    T0,
    completed,
    define,
    envelope,
    handlers,
    provider,
    sent,
    story,
    targets,
)
from zekt_common.adapters.embedded import Backend
from zekt_common.envelope import Envelope, NewEvent
from zekt_common.errors import StreamConflict
from zekt_common.ports import OutgoingMessage
from zekt_router.horizon import Horizon
from zekt_router.run_events import RoutingFinished, RunRouted


class CutStore:
    """A store that dies instead of carrying out the append after the first `left` ones."""

    def __init__(self, backend: Backend, left: int) -> None:
        self._store = backend.store
        self.left = left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, stream: str, events: Sequence[NewEvent], /, *, expected_version: int) -> list[Envelope]:
        if self.left == 0:
            raise ConnectionAbortedError
        self.left -= 1
        return await self._store.append(stream, events, expected_version=expected_version)


class RacedStore(CutStore):
    """A store in which another handler wins the first race for the run."""

    async def append(self, stream: str, events: Sequence[NewEvent], /, *, expected_version: int) -> list[Envelope]:
        if self.left > 0:
            self.left -= 1
            await self._store.append(stream, events, expected_version=expected_version)
            raise StreamConflict(stream, expected=expected_version, actual=expected_version + 1)
        return await self._store.append(stream, events, expected_version=expected_version)


async def test_a_run_in_events_mode_takes_one_append(backend: Backend) -> None:
    await define(backend, provider(subscribers=90))
    await define(backend, CONSUMER)
    await handlers(backend).run_completed(completed(), envelope(completed()))
    stored = await backend.store.read(STREAM)
    assert len({one.commitid for one in stored}) == 1
    assert [one.traceparent for one in stored] == ["00-a-b-01"] * 4
    assert {one.causationid for one in stored} == {"webhook/1/c@1"}


@pytest.mark.parametrize("appends", [0, 1, 2, 3])
async def test_routing_cut_after_any_append_is_continued_exactly_by_the_redelivered_message(
    backend: Backend, appends: int
) -> None:
    await define(backend, provider(subscribers=SUBSCRIBERS))
    await define(backend, CONSUMER)
    cut = CutStore(backend, appends)
    if appends < 3:
        with pytest.raises(ConnectionAbortedError):
            await handlers(backend, cut).run_completed(completed(), envelope(completed()))
    await handlers(backend).run_completed(completed(), envelope(completed()))
    events = await story(backend)
    assert targets(events) == [f"s{number:04d}" for number in range(SUBSCRIBERS)]
    assert sum(isinstance(event, RoutingFinished) for event in events) == 1


async def test_routing_continues_from_the_catalog_it_started_with(backend: Backend) -> None:
    await define(backend, provider(subscribers=SUBSCRIBERS))
    await define(backend, CONSUMER)
    with pytest.raises(ConnectionAbortedError):
        await handlers(backend, CutStore(backend, 1)).run_completed(completed(), envelope(completed()))
    version = len(await backend.store.read("catalog/1"))
    await define(backend, provider(subscribers=SUBSCRIBERS + 50), after=version)
    await handlers(backend).run_completed(completed(), envelope(completed()))
    assert len(targets(await story(backend))) == SUBSCRIBERS


async def test_the_loser_of_a_race_decides_again(backend: Backend) -> None:
    await define(backend, provider())
    await define(backend, CONSUMER)
    await handlers(backend, RacedStore(backend, 1)).run_completed(completed(), envelope(completed()))
    assert targets(await story(backend)) == ["s0000"]


async def test_a_window_stays_open_while_a_message_about_the_run_is_unsettled(backend: Backend) -> None:
    await define(backend, provider("events+messages"))
    await define(backend, CONSUMER)
    router = handlers(backend)
    receiver = backend.bus.subscribe("ingress", "router")
    on_its_way = envelope(sent(1), "m")
    await backend.bus.publish("ingress", [OutgoingMessage(envelope=on_its_way, to="router")])
    (locked,) = await receiver.receive(1, timeout_s=1)
    await router.run_completed(completed(), envelope(completed()))
    await Horizon(backend.views).move(T0 + timedelta(seconds=60))
    assert await router.close_windows(STREAM) is False
    await router.message_received(sent(1), on_its_way)
    await receiver.complete(locked)
    assert await router.close_windows(STREAM) is True
    routed = [event for event in await story(backend) if isinstance(event, RunRouted)]
    assert [(event.message_id, event.late) for event in routed] == [("m", False)]


async def test_a_lower_watermark_holds_windows_open_again(backend: Backend) -> None:
    await define(backend, provider("events+messages"))
    router, horizon = handlers(backend), Horizon(backend.views)
    await router.run_completed(completed(), envelope(completed()))
    await horizon.move(T0 + timedelta(seconds=60))
    await horizon.move(T0 + timedelta(seconds=1))
    await router.close_windows(STREAM)
    assert len(await story(backend)) == 1


async def test_a_window_that_is_closed_continues_the_trace_of_its_run(backend: Backend) -> None:
    await define(backend, provider("events+messages"))
    await define(backend, CONSUMER)
    router = handlers(backend)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    cause = msgspec.structs.replace(envelope(completed()), traceparent=trace)
    await router.run_completed(completed(), cause)
    await Horizon(backend.views).move(T0 + timedelta(seconds=2))
    assert await router.close_windows(STREAM)
    stored = await backend.store.read(STREAM)
    assert [(one.traceparent or "")[:35] for one in stored] == [trace[:35]] * len(stored)
    assert stored[-1].causationid == stored[0].id


async def test_a_run_cut_while_routing_is_finished_as_its_owners_whoever_the_next_message_belongs_to(
    backend: Backend,
) -> None:
    await define(backend, provider(subscribers=SUBSCRIBERS))
    await define(backend, CONSUMER)
    with pytest.raises(ConnectionAbortedError):
        await handlers(backend, CutStore(backend, 1)).run_completed(completed(), envelope(completed()))
    from_a_new_owner = msgspec.structs.replace(sent(1), owner_id=3)
    await handlers(backend).message_received(from_a_new_owner, envelope(from_a_new_owner, "m"))
    assert len(targets(await story(backend))) == SUBSCRIBERS
