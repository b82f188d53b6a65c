import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from libs.common.tests.patience import PATIENCE_S
from libs.common.tests.receiving import finds_nothing, take, take_just, take_one

from zekt_common.adapters.embedded import Backend
from zekt_common.contracts.topology import DUPLICATE_WINDOW_S, SUBSCRIPTIONS
from zekt_common.envelope import Envelope, decode
from zekt_common.errors import MessageTooLarge, UnknownSubscription
from zekt_common.ports import OutgoingMessage, ReceivedMessage, Receiver

MakeEnvelope = Callable[..., Envelope]

LOCK_S = next(each.lock_s for each in SUBSCRIPTIONS if (each.topic, each.name) == ("router", "dispatcher"))


def dispatcher(backend: Backend) -> Receiver:
    return backend.bus.subscribe("router", "dispatcher")


def ingress(backend: Backend) -> Receiver:
    return backend.bus.subscribe("router", "ingress")


def ids(messages: Sequence[ReceivedMessage]) -> list[str]:
    return [message.message_id for message in messages]


async def test_a_message_reaches_every_subscription_of_its_topic(backend: Backend, envelope: MakeEnvelope) -> None:
    sent = envelope("run/1")
    await backend.bus.publish("router", [OutgoingMessage(envelope=sent)])
    for receiver in (dispatcher(backend), ingress(backend)):
        message = await take_one(receiver)
        assert (message.message_id, message.attempt) == ("run/1@1", 1)
        assert decode(message.body) == sent
    assert await finds_nothing(backend.bus.subscribe("ingress", "router"))


async def test_an_addressed_message_reaches_one_subscription(backend: Backend, envelope: MakeEnvelope) -> None:
    await backend.bus.publish("router", [OutgoingMessage(envelope=envelope("run/1"), to="dispatcher")])
    assert ids(await take(dispatcher(backend), 1)) == ["run/1@1"]
    assert await finds_nothing(ingress(backend))


async def test_a_topic_without_subscriptions_takes_messages(backend: Backend, envelope: MakeEnvelope) -> None:
    await backend.bus.publish("identity", [OutgoingMessage(envelope=envelope("run/1"))])
    assert await finds_nothing(dispatcher(backend))


async def test_an_unknown_address_refuses_the_whole_publication(backend: Backend, envelope: MakeEnvelope) -> None:
    good = OutgoingMessage(envelope=envelope("run/1"))
    with pytest.raises(UnknownSubscription):
        await backend.bus.publish("router", [good, OutgoingMessage(envelope=envelope("run/2"), to="nobody")])
    with pytest.raises(UnknownSubscription):
        await backend.bus.publish("nowhere", [good])
    with pytest.raises(UnknownSubscription):
        backend.bus.subscribe("router", "nobody")
    with pytest.raises(UnknownSubscription):
        await backend.bus.dead_letters("router", "nobody")
    assert await finds_nothing(dispatcher(backend))


async def test_a_message_over_the_limit_refuses_the_whole_publication(backend: Backend, envelope: MakeEnvelope) -> None:
    good = OutgoingMessage(envelope=envelope("run/1"))
    large = OutgoingMessage(envelope=envelope("run/2", "x" * 256 * 1024))
    with pytest.raises(MessageTooLarge, match="run/2@1"):
        await backend.bus.publish("router", [good, large])
    assert await finds_nothing(dispatcher(backend))


async def test_a_message_just_below_the_limit_travels_whole(backend: Backend, envelope: MakeEnvelope) -> None:
    sent = envelope("run/1", "é" * 125 * 1024)
    await backend.bus.publish("router", [OutgoingMessage(envelope=sent)])
    assert decode((await take_one(dispatcher(backend))).body) == sent


async def test_a_message_id_seen_within_the_window_is_dropped(
    backend: Backend, envelope: MakeEnvelope, clock: Any
) -> None:
    twice = OutgoingMessage(envelope=envelope("run/1"))
    await backend.bus.publish("router", [twice, twice])
    clock.advance(DUPLICATE_WINDOW_S - 1)
    await backend.bus.publish("router", [twice, OutgoingMessage(envelope=envelope("run/2"))])
    assert ids(await take(dispatcher(backend), 2)) == ["run/1@1", "run/2@1"]


async def test_a_message_id_is_forgotten_after_the_window(backend: Backend, envelope: MakeEnvelope, clock: Any) -> None:
    again = OutgoingMessage(envelope=envelope("run/1"))
    await backend.bus.publish("router", [again])
    clock.advance(DUPLICATE_WINDOW_S + 1)
    await backend.bus.publish("router", [again])
    assert ids(await take(dispatcher(backend), 2)) == ["run/1@1", "run/1@1"]


async def test_duplicate_detection_goes_by_topic(backend: Backend, envelope: MakeEnvelope) -> None:
    sent = OutgoingMessage(envelope=envelope("run/1"))
    await backend.bus.publish("router", [sent])
    await backend.bus.publish("ingress", [sent])
    assert len(await take(dispatcher(backend), 1)) == 1
    assert len(await take(backend.bus.subscribe("ingress", "router"), 1)) == 1


async def test_a_published_copy_carries_its_attempt(backend: Backend, envelope: MakeEnvelope) -> None:
    copy = OutgoingMessage(envelope=envelope("run/1"), message_id="run/1@1~p9", attempt=4)
    await backend.bus.publish("router", [copy])
    assert (await take_one(dispatcher(backend))).attempt == 4


async def test_a_scheduled_message_comes_when_it_is_due(
    backend: Backend, envelope: MakeEnvelope, clock: Any, *, counts_scheduled: bool
) -> None:
    due = clock() + timedelta(seconds=60)
    await backend.bus.publish("router", [OutgoingMessage(envelope=envelope("run/1"), not_before=due)])
    receiver = dispatcher(backend)
    clock.advance(59)
    assert await finds_nothing(receiver)
    assert await receiver.backlog() == (1 if counts_scheduled else 0)
    clock.advance(2)
    assert ids(await take(receiver, 1)) == ["run/1@1"]


async def test_messages_come_oldest_first_and_no_more_than_asked_for(backend: Backend, envelope: MakeEnvelope) -> None:
    for n in range(0, 300, 150):
        await backend.bus.publish(
            "router", [OutgoingMessage(envelope=envelope(f"run/{each}")) for each in range(n, n + 150)]
        )
    receiver = dispatcher(backend)
    assert ids(await take_just(receiver, 2)) == ["run/0@1", "run/1@1"]
    assert ids(await take(receiver, 298, limit=1000)) == [f"run/{n}@1" for n in range(2, 300)]


async def test_receiving_nothing_ends_at_the_time_out(backend: Backend) -> None:
    assert await dispatcher(backend).receive(10, timeout_s=0.02) == []


async def test_a_waiting_receiver_wakes_for_a_message(real_time_backend: Backend, envelope: MakeEnvelope) -> None:
    receiving = asyncio.create_task(dispatcher(real_time_backend).receive(10, timeout_s=30))
    await asyncio.sleep(0)
    await real_time_backend.bus.publish("router", [OutgoingMessage(envelope=envelope("run/1"))])
    assert ids(await receiving) == ["run/1@1"]


async def test_a_waiting_receiver_wakes_for_what_becomes_due(
    real_time_backend: Backend, envelope: MakeEnvelope
) -> None:
    await real_time_backend.bus.publish("router", [OutgoingMessage(envelope=envelope("run/1"))])
    receiver = dispatcher(real_time_backend)
    await receiver.retry(await take_one(receiver), after_s=0.05)
    assert ids(await receiver.receive(10, timeout_s=30)) == ["run/1@1~dispatcher~r2"]


async def test_many_receivers_share_the_messages_without_overlap(backend: Backend, envelope: MakeEnvelope) -> None:
    await backend.bus.publish("router", [OutgoingMessage(envelope=envelope(f"run/{n}")) for n in range(400)])

    received: Counter[str] = Counter()

    async def share(receiver: Receiver) -> None:
        while received.total() < 400:
            messages = await receiver.receive(7, timeout_s=0.5)
            received.update(ids(messages))
            await asyncio.gather(*(receiver.complete(message) for message in messages))

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(share(dispatcher(backend)) for _ in range(8)))
    assert received == {f"run/{n}@1": 1 for n in range(400)}
    assert await dispatcher(backend).backlog() == 0


async def test_messages_and_settlements_outlive_the_process(
    open_engine: Any, tmp_path: Path, envelope: MakeEnvelope, clock: Any
) -> None:
    async with open_engine(tmp_path, clock) as backend:
        await backend.bus.publish("router", [OutgoingMessage(envelope=envelope(f"run/{n}")) for n in range(3)])
        receiver = dispatcher(backend)
        completed, _ = await take_just(receiver, 2)
        await receiver.complete(completed)
    async with open_engine(tmp_path, clock) as backend:
        receiver = dispatcher(backend)
        await backend.bus.publish("router", [OutgoingMessage(envelope=envelope("run/0"))])
        assert ids(await take(receiver, 1)) == ["run/2@1"]
        clock.advance(LOCK_S + 1)
        assert ids(await take(receiver, 2)) == ["run/1@1", "run/2@1"]
