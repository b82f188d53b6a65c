import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from libs.common.tests.receiving import finds_nothing, take, take_just, take_one

from zekt_common.adapters.embedded import Backend
from zekt_common.contracts.topology import SUBSCRIPTIONS
from zekt_common.envelope import Envelope, decode
from zekt_common.errors import LockLost
from zekt_common.ports import OutgoingMessage, ReceivedMessage, Receiver

MakeEnvelope = Callable[..., Envelope]

LOCK_S = next(each.lock_s for each in SUBSCRIPTIONS if (each.topic, each.name) == ("router", "dispatcher"))


def dispatcher(backend: Backend) -> Receiver:
    return backend.bus.subscribe("router", "dispatcher")


def ingress(backend: Backend) -> Receiver:
    return backend.bus.subscribe("router", "ingress")


def ids(messages: Sequence[ReceivedMessage]) -> list[str]:
    return [message.message_id for message in messages]


async def test_a_retry_within_the_window_comes_back_when_due(
    backend: Backend, envelope: MakeEnvelope, clock: Any
) -> None:
    sent = envelope("run/1")
    await backend.bus.publish("router", [OutgoingMessage(envelope=sent)])
    receiver = dispatcher(backend)
    await receiver.retry(await take_one(receiver), after_s=20)
    clock.advance(19)
    assert await finds_nothing(receiver)
    clock.advance(2)
    again = await take_one(receiver)
    assert (again.message_id, again.attempt) == ("run/1@1~dispatcher~r2", 2)
    assert decode(again.body) == sent
    await receiver.retry(again, after_s=0)
    assert ids(await take(receiver, 1)) == ["run/1@1~dispatcher~r3"]
    assert len(await take(ingress(backend), 1)) == 1


async def test_a_replay_within_the_window_reaches_its_subscription_and_can_be_retried(
    backend: Backend, envelope: MakeEnvelope
) -> None:
    sent = envelope("run/1")
    receiver = dispatcher(backend)
    await backend.bus.publish("router", [OutgoingMessage(envelope=sent)])
    await receiver.retry(await take_one(receiver), after_s=0)
    await receiver.complete(await take_one(receiver))
    replay = OutgoingMessage(envelope=sent, to="dispatcher", message_id="run/1@1~p9")
    await backend.bus.publish("router", [replay])
    replayed = await take_one(receiver)
    assert (replayed.message_id, replayed.attempt, decode(replayed.body)) == ("run/1@1~p9", 1, sent)
    await receiver.retry(replayed, after_s=0)
    again = await take_one(receiver)
    assert (again.message_id, again.attempt) == ("run/1@1~p9~dispatcher~r2", 2)
    assert ids(await take(ingress(backend), 1)) == ["run/1@1"]


async def test_a_locked_message_goes_to_nobody_else(backend: Backend, envelope: MakeEnvelope, clock: Any) -> None:
    await backend.bus.publish("router", [OutgoingMessage(envelope=envelope("run/1"))])
    message = await take_one(dispatcher(backend))
    assert message.locked_until == clock() + timedelta(seconds=LOCK_S)
    clock.advance(LOCK_S - 1)
    assert await finds_nothing(dispatcher(backend))


async def test_an_expired_lock_passes_on_with_the_same_attempt(
    backend: Backend, envelope: MakeEnvelope, clock: Any
) -> None:
    await backend.bus.publish("router", [OutgoingMessage(envelope=envelope("run/1"))])
    receiver = dispatcher(backend)
    lost = await take_one(receiver)
    clock.advance(LOCK_S + 1)
    taken = await take_one(dispatcher(backend))
    assert (taken.message_id, taken.attempt) == (lost.message_id, 1)
    await refused(receiver, lost)
    await receiver.complete(taken)
    assert await receiver.backlog() == 0
    assert await backend.bus.dead_letters("router", "dispatcher") == []


async def test_an_expired_lock_is_lost_even_when_nobody_took_it(
    backend: Backend, envelope: MakeEnvelope, clock: Any
) -> None:
    await backend.bus.publish("router", [OutgoingMessage(envelope=envelope("run/1"))])
    receiver = dispatcher(backend)
    lost = await take_one(receiver)
    clock.advance(LOCK_S + 1)
    await refused(receiver, lost)
    assert ids(await take(receiver, 1)) == ["run/1@1"]


async def test_a_settled_message_cannot_be_settled_again(
    backend: Backend, envelope: MakeEnvelope, *, counts_scheduled: bool
) -> None:
    await backend.bus.publish("router", [OutgoingMessage(envelope=envelope(f"run/{n}")) for n in range(3)])
    receiver = dispatcher(backend)
    completed, retried, buried = await take(receiver, 3)
    await receiver.complete(completed)
    await receiver.retry(retried, after_s=5)
    await receiver.dead_letter(buried, "broken")
    for message in (completed, retried, buried):
        await refused(receiver, message)
    assert await receiver.backlog() == (1 if counts_scheduled else 0)


async def refused(receiver: Receiver, message: ReceivedMessage) -> None:
    with pytest.raises(LockLost):
        await receiver.complete(message)
    with pytest.raises(LockLost):
        await receiver.retry(message, after_s=1)
    with pytest.raises(LockLost):
        await receiver.dead_letter(message, "late")
    with pytest.raises(LockLost):
        await receiver.renew(message)
    await receiver.release([message])


async def test_a_renewed_lock_lasts_longer(backend: Backend, envelope: MakeEnvelope, clock: Any) -> None:
    await backend.bus.publish("router", [OutgoingMessage(envelope=envelope("run/1"))])
    receiver = dispatcher(backend)
    message = await take_one(receiver)
    clock.advance(LOCK_S - 1)
    assert await receiver.renew(message) == clock() + timedelta(seconds=LOCK_S)
    clock.advance(LOCK_S - 1)
    assert await finds_nothing(receiver)
    await receiver.complete(message)
    assert await receiver.backlog() == 0


async def test_a_renewal_and_a_release_at_once_leave_the_message_free(backend: Backend, envelope: MakeEnvelope) -> None:
    await backend.bus.publish("router", [OutgoingMessage(envelope=envelope("run/1"))])
    receiver = dispatcher(backend)
    message = await take_one(receiver)
    await asyncio.gather(receiver.renew(message), receiver.release([message]))
    assert ids(await take(receiver, 1)) == ["run/1@1"]


async def test_a_released_message_is_at_its_old_place_again(backend: Backend, envelope: MakeEnvelope) -> None:
    await backend.bus.publish("router", [OutgoingMessage(envelope=envelope(f"run/{n}")) for n in range(4)])
    receiver = dispatcher(backend)
    first, second = await take_just(receiver, 2)
    await receiver.release([first, second])
    again = await take_just(receiver, 3)
    assert ids(again) == ["run/0@1", "run/1@1", "run/2@1"]
    assert [message.attempt for message in again] == [1, 1, 1]


async def test_a_dead_letter_keeps_its_message_reason_and_time(
    backend: Backend, envelope: MakeEnvelope, clock: Any
) -> None:
    sent = envelope("run/1")
    await backend.bus.publish("router", [OutgoingMessage(envelope=sent)])
    receiver = dispatcher(backend)
    clock.advance(5)
    await receiver.dead_letter(await take_one(receiver), "not valid: é")
    (dead,) = await backend.bus.dead_letters("router", "dispatcher")
    assert (dead.topic, dead.subscription, dead.message_id, dead.attempt) == ("router", "dispatcher", "run/1@1", 1)
    assert (dead.reason, dead.at, decode(dead.body)) == ("not valid: é", clock(), sent)
    assert await receiver.backlog() == 0
    assert await backend.bus.dead_letters("router", "ingress") == []
    assert len(await take(ingress(backend), 1)) == 1


async def test_dead_letters_are_listed_oldest_first(backend: Backend, envelope: MakeEnvelope, clock: Any) -> None:
    await backend.bus.publish("router", [OutgoingMessage(envelope=envelope(f"run/{n}")) for n in range(5)])
    receiver = dispatcher(backend)
    for message in reversed(await take(receiver, 5)):
        await receiver.dead_letter(message, "broken")
        clock.advance(1)
    listed = await backend.bus.dead_letters("router", "dispatcher", limit=3)
    assert [dead.message_id for dead in listed] == ["run/4@1", "run/3@1", "run/2@1"]


async def test_locked_and_scheduled_messages_hold_nobody_up(
    backend: Backend, envelope: MakeEnvelope, clock: Any
) -> None:
    await backend.bus.publish("router", [OutgoingMessage(envelope=envelope(f"run/{n}")) for n in range(10)])
    receiver = dispatcher(backend)
    for message in await take_just(receiver, 5):
        await receiver.retry(message, after_s=60)
    await take_just(receiver, 3)
    assert ids(await take(receiver, 2)) == ["run/8@1", "run/9@1"]
    clock.advance(LOCK_S + 1)
    assert ids(await take(receiver, 5)) == [f"run/{n}@1" for n in range(5, 10)]


async def test_unsettled_subjects_are_those_still_waiting_locked_or_scheduled(
    backend: Backend, envelope: MakeEnvelope, *, counts_scheduled: bool
) -> None:
    states = ("completed", "dead", "locked", "scheduled", "waiting")
    await backend.bus.publish(
        "router", [OutgoingMessage(envelope=envelope(f"run/{state}", subject=state)) for state in states]
    )
    receiver = dispatcher(backend)
    completed, dead, _, scheduled = await take_just(receiver, 4)
    await receiver.complete(completed)
    await receiver.dead_letter(dead, "broken")
    await receiver.retry(scheduled, after_s=60)
    assert await receiver.unsettled([*states, "unheard of"]) == {"locked", "scheduled", "waiting"}
    assert await receiver.unsettled(["dead"]) == set()
    assert await receiver.unsettled([]) == set()
    assert await ingress(backend).unsettled(states) == set(states)
    assert await receiver.backlog() == (3 if counts_scheduled else 2)


async def test_a_subscription_is_empty_while_nothing_is_waiting_locked_or_scheduled_for_it(
    backend: Backend, envelope: MakeEnvelope, clock: Any
) -> None:
    receiver = dispatcher(backend)
    assert await receiver.is_empty()
    await backend.bus.publish("router", [OutgoingMessage(envelope=envelope("run/1"), to="dispatcher")])
    assert not await receiver.is_empty()
    (message,) = await take(receiver, 1)
    assert not await receiver.is_empty()
    await receiver.retry(message, after_s=60)
    assert not await receiver.is_empty()
    assert await ingress(backend).is_empty(), "it is scheduled for another one"
    clock.advance(61)
    (again,) = await take(receiver, 1)
    await receiver.complete(again)
    assert await receiver.is_empty()


async def test_a_cancelled_receive_leaves_the_messages_free(backend: Backend, envelope: MakeEnvelope) -> None:
    await backend.bus.publish("router", [OutgoingMessage(envelope=envelope("run/1"))])
    receiver = dispatcher(backend)
    for turns in range(5):
        receiving = asyncio.create_task(receiver.receive(10, timeout_s=0))
        for _ in range(turns):
            await asyncio.sleep(0)
        receiving.cancel()
        await asyncio.wait([receiving])
        if not receiving.cancelled():
            await receiver.release(receiving.result())
    assert ids(await take(receiver, 1)) == ["run/1@1"]
