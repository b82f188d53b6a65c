import asyncio
from collections.abc import Awaitable, Callable

import pytest
from libs.common.tests.patience import PATIENCE_S
from structlog.testing import capture_logs

from zekt_common.errors import StorageUnusable
from zekt_common.kit.supervision import describe, finish, growing_pause_s, supervise


def failing(*errors: Exception) -> Callable[[], Awaitable[None]]:
    """Return work that raises each error once and then returns."""
    left = iter(errors)

    async def work() -> None:
        for error in left:
            raise error

    return work


async def test_an_error_is_logged_and_the_work_begins_again_until_it_returns() -> None:
    with capture_logs() as logs:
        await supervise("relay/ingress", failing(ValueError("token"), KeyError("token")), longest_pause_s=0.001)
    assert [(entry["event"], entry["loop"], entry["error"]) for entry in logs] == [
        ("background_loop_failed", "relay/ingress", "ValueError"),
        ("background_loop_failed", "relay/ingress", "KeyError"),
    ]
    assert "token" not in str(logs)


async def test_a_cancellation_passes() -> None:
    entered = asyncio.Event()

    async def work() -> None:
        entered.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(supervise("loop", work))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_pauses_double_up_to_the_longest_with_a_quarter_of_jitter() -> None:
    for failures, plain in ((1, 0.5), (2, 1.0), (5, 8.0), (9, 60.0), (5000, 60.0)):
        pauses = [growing_pause_s(failures, first_s=0.5, longest_s=60) for _ in range(50)]
        assert 0.75 * plain <= min(pauses) <= max(pauses) <= plain
        assert len(set(pauses)) > 1


def test_a_log_line_names_the_first_error_of_a_group_and_quotes_only_our_own() -> None:
    ours = describe(ExceptionGroup("several", [StorageUnusable("disk full"), ValueError("token")]))
    assert (ours["error"], ours["detail"]) == ("StorageUnusable", "disk full")
    assert "detail" not in describe(ValueError("token"))


def test_a_log_line_says_where_the_error_was_raised() -> None:
    try:
        int("x")
    except ValueError as error:
        told = describe(error)
    assert told["at"].startswith("test_supervision.py:")


async def test_finish_waits_within_the_bound_then_cancels() -> None:
    gate = asyncio.Event()
    quick = asyncio.create_task(asyncio.sleep(0))
    endless = asyncio.create_task(forever(gate))
    await finish([quick, endless], within_s=0.02)
    assert quick.done()
    assert endless.cancelled()
    await finish([], within_s=1)


async def forever(gate: asyncio.Event) -> None:
    await gate.wait()


async def test_a_loop_whose_task_group_fails_at_the_moment_of_its_cancellation_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zekt_common.kit.supervision.CANCELLED_AGAIN_S", 0.01)
    entered, fails = asyncio.Event(), asyncio.Event()

    async def member() -> None:
        entered.set()
        try:
            await fails.wait()
        finally:
            raise ValueError("on the way out")

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(member())

    task = asyncio.create_task(supervise("loop", work))
    await entered.wait()
    async with asyncio.timeout(PATIENCE_S):
        await finish([task], within_s=0)
    assert task.cancelled()
