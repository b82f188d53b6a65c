"""Runs with more to decide than an append takes, on the real store: all of it, once, wherever the process dies."""

from collections import Counter
from datetime import timedelta

import pytest

from services.router.tests.stored_runs import (
    CONSUMER,
    STREAM,
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
from services.router.tests.test_runs_process import CutStore
from zekt_common.adapters.embedded import Backend
from zekt_common.append_limits import MAX_EVENTS
from zekt_common.ports.payloads import INLINE_LIMIT_BYTES
from zekt_router.horizon import Horizon
from zekt_router.run_events import RunRouted, WindowClosed

MESSAGES = 120


async def wait_in_vain(backend: Backend, messages: int = MESSAGES, payload: bytes = b"{}") -> None:
    """Have so many messages wait for the completion of a run that takes messages."""
    await define(backend, provider("events+messages"))
    await define(backend, CONSUMER)
    router = handlers(backend)
    for number in range(messages):
        message = sent(number / 1000, name=f"m{number:03d}", payload=payload)
        await router.message_received(message, envelope(message, f"m{number}"))


async def close(backend: Backend) -> None:
    await Horizon(backend.views).move(T0 + timedelta(seconds=60))
    assert await handlers(backend).close_windows(STREAM)


async def heard(backend: Backend) -> Counter[tuple[str | None, bool]]:
    """Return how often the subscriber hears of which message, late or not."""
    pages = [event for event in await story(backend) if isinstance(event, RunRouted)]
    return Counter((page.message_id, page.late) for page in pages for _ in page.routed)


ALL = Counter({(f"m{number:03d}", False): 1 for number in range(MESSAGES)})


async def test_every_waiting_message_is_delivered_with_its_run_and_no_append_is_too_large(backend: Backend) -> None:
    await wait_in_vain(backend)
    await handlers(backend).run_completed(completed(1), envelope(completed()))
    await close(backend)
    assert await heard(backend) == ALL
    appends = Counter(event.commitid for event in await backend.store.read(STREAM))
    assert 50 <= max(appends.values()) <= MAX_EVENTS


@pytest.mark.parametrize("appends", range(7))
@pytest.mark.parametrize("next_one", ["the same again", "another hook", "another message", "the window's end"])
async def test_what_a_process_left_when_it_died_is_delivered_by_whatever_comes_next(
    backend: Backend, appends: int, next_one: str
) -> None:
    await wait_in_vain(backend)
    with pytest.raises(ConnectionAbortedError):
        await handlers(backend, CutStore(backend, appends)).run_completed(completed(1), envelope(completed()))
    router = handlers(backend)
    if next_one == "another hook":
        await router.run_completed(completed(0.5), envelope(completed(), "d"))
    elif next_one == "another message":
        await router.message_received(sent(0, name="m000"), envelope(sent(), "m0"))
    elif next_one == "the window's end" and appends:
        await close(backend)
    if appends and next_one != "the same again":
        assert await heard(backend) == ALL
    await router.run_completed(completed(1), envelope(completed()))
    await close(backend)
    assert await heard(backend) == ALL
    assert sum(isinstance(event, WindowClosed) for event in await story(backend)) == 1


@pytest.mark.parametrize("letter", ["x", "ü", "🚚", '\\"'])
async def test_payloads_that_are_large_on_their_way_are_appended_in_parts(backend: Backend, letter: str) -> None:
    text = letter * ((INLINE_LIMIT_BYTES - 2) // len(letter.encode()))
    await wait_in_vain(backend, 60, f'"{text}"'.encode())
    await handlers(backend).run_completed(completed(1), envelope(completed()))
    assert (await heard(backend)).total() == 60


async def test_a_page_for_a_hundred_subscribers_of_a_service_with_the_longest_alias_fits(backend: Backend) -> None:
    text = "ü" * (INLINE_LIMIT_BYTES // 2 - 1)
    await define(backend, provider("events+messages", subscribers=100, alias="🚚" * 1000))
    await define(backend, CONSUMER)
    router = handlers(backend)
    for number in range(3):
        message = sent(number / 1000, name=f"m{number}", payload=f'"{text}"'.encode())
        await router.message_received(message, envelope(message, f"m{number}"))
    await router.run_completed(completed(1), envelope(completed()))
    assert len(targets(await story(backend))) == 3 * 100
