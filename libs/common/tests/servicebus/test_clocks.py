"""Machines whose clocks differ, and messages that lie about until their locks have ended."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from libs.common.tests.receiving import take_just
from libs.common.tests.servicebus.standin import connection_to
from structlog.testing import capture_logs

from zekt_common.adapters.servicebus_bus import ServiceBusBus, open_servicebus_bus
from zekt_common.ports import OutgoingMessage
from zekt_sandbox.servicebus import ServiceBusSandbox

Make = Callable[..., OutgoingMessage]


@pytest.mark.parametrize("hours", [1, -1])
async def test_messages_are_received_and_settled_by_a_machine_whose_clock_is_off_which_is_told_once(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    def off() -> datetime:
        return datetime.now(UTC) + timedelta(hours=hours)

    monkeypatch.setattr("azure.servicebus._common.message.utc_now", off)
    await bus.publish("router", [message(f"run/{n}") for n in range(4)])
    async with open_servicebus_bus(connection_to(sandbox), clock=off) as other:
        receiver = other.subscribe("router", "dispatcher")
        with capture_logs() as logs:
            completed, renewed, retried, buried = [(await take_just(receiver, 1))[0] for _ in range(4)]
            assert abs((renewed.locked_until - off()).total_seconds() - 10) < 5
            assert await receiver.renew(renewed) > off()
            await receiver.complete(completed)
            await receiver.complete(renewed)
            await receiver.retry(retried, after_s=0)
            await receiver.dead_letter(buried, "broken")
            (again,) = await take_just(receiver, 1)
            await receiver.release([again])
    counts = sandbox.counts("router", "dispatcher")
    assert (counts.active, counts.locked, counts.dead_lettered) == (1, 0, 1)
    (warned,) = [log for log in logs if log["event"] == "servicebus_clock_differs"]
    assert warned["ours_is_ahead_by_s"] == pytest.approx(hours * 3600, abs=5)


async def test_what_lay_here_until_its_lock_may_have_ended_goes_back_and_comes_anew(
    sandbox: ServiceBusSandbox, bus: ServiceBusBus, message: Make
) -> None:
    came: list[str] = []

    def monotonic() -> float:
        """Eleven seconds pass while the first message that came lies here."""
        entries = sandbox.namespace.subscription("router", "dispatcher").queue.entries
        came.extend(str(entry.lock.token) for entry in entries if entry.lock and not came)
        return time.monotonic() + (11.0 if came else 0.0)

    await bus.publish("router", [message("run/1")])
    async with open_servicebus_bus(connection_to(sandbox), monotonic=monotonic) as other:
        receiver = other.subscribe("router", "dispatcher")
        (received,) = await take_just(receiver, 1)
        assert came
        assert received.lock not in came
        await receiver.complete(received)
