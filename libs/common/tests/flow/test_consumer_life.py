"""A consumer's life: catching up, draining, and being cancelled."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from libs.common.tests.flow.consuming import (
    Inbox,
    Noted,
    Start,
    consumer,
    message,
    publish,
)
from libs.common.tests.patience import PATIENCE_S

from zekt_common.adapters.embedded import Backend
from zekt_common.envelope import Envelope
from zekt_common.errors import UnknownSubscription
from zekt_common.kit.consumer import Complete, Consumer, Settlement


async def test_caught_up_waits_for_the_handlers_of_what_was_waiting(backend: Backend, start: Start) -> None:
    gate = asyncio.Event()
    begun = asyncio.Event()

    async def gated(_: Noted, __: Envelope) -> Settlement:
        begun.set()
        await gate.wait()
        return Complete()

    await publish(backend, *(message(n) for n in range(3)))
    consuming = consumer(backend, gated)
    start(consuming.run())
    await begun.wait()
    assert not consuming.caught_up.is_set()
    gate.set()
    async with asyncio.timeout(PATIENCE_S):
        await consuming.caught_up.wait()
    assert consuming.outcomes["completed"] == 3


async def test_an_idle_consumer_has_caught_up_before_any_lock_could_have_expired(
    backend: Backend, start: Start
) -> None:
    consuming = consumer(backend, Inbox().handle, lock_s=100 * PATIENCE_S)
    start(consuming.run())
    async with asyncio.timeout(PATIENCE_S):
        await consuming.caught_up.wait()


async def test_a_drained_consumer_finishes_what_it_handles_and_takes_no_more(backend: Backend, start: Start) -> None:
    gate, begun = asyncio.Event(), asyncio.Event()

    async def gated(_: Noted, __: Envelope) -> Settlement:
        begun.set()
        await gate.wait()
        return Complete()

    consuming = consumer(backend, gated)
    running = start(consuming.run())
    await publish(backend, message(1))
    await begun.wait()
    draining = asyncio.create_task(consuming.drain(within_s=PATIENCE_S))
    gate.set()
    await draining
    await running
    await publish(backend, message(2))
    assert consuming.outcomes["completed"] == 1
    assert await consuming.backlog() == 1


async def test_a_drain_gives_back_what_does_not_finish_in_time(backend: Backend, start: Start) -> None:
    begun = asyncio.Event()

    async def never(_: Noted, __: Envelope) -> Settlement:
        begun.set()
        await asyncio.Event().wait()
        return Complete()

    consuming = consumer(backend, never)
    start(consuming.run())
    await publish(backend, message(1))
    await begun.wait()
    await consuming.drain(within_s=0.05)
    (again,) = await backend.bus.subscribe("ingress", "router").receive(5, timeout_s=0)
    assert (again.message_id, again.attempt) == ("notes/1@1", 1)


async def test_a_cancelled_consumer_gives_its_messages_back(backend: Backend, start: Start) -> None:
    begun = asyncio.Event()

    async def never(_: Noted, __: Envelope) -> Settlement:
        begun.set()
        await asyncio.Event().wait()
        return Complete()

    running = start(consumer(backend, never).run())
    await publish(backend, message(1))
    await begun.wait()
    running.cancel()
    await asyncio.wait([running])
    assert len(await backend.bus.subscribe("ingress", "router").receive(5, timeout_s=0)) == 1


async def test_only_subscriptions_of_the_topology_can_be_consumed(backend: Backend) -> None:
    with pytest.raises(UnknownSubscription):
        Consumer(backend.bus, "ingress", "nobody", {Noted: Inbox().handle})


async def test_age_tells_how_old_the_newest_message_was(backend: Backend, start: Start) -> None:
    inbox = Inbox()
    at = datetime.now(UTC) + timedelta(seconds=90)
    consuming = Consumer(backend.bus, "ingress", "router", {Noted: inbox.handle}, clock=lambda: at)
    start(consuming.run())
    await publish(backend, message(1))
    await inbox.next()
    assert 80 < consuming.age_s <= 90
