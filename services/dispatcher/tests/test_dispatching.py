import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.dispatcher.tests.harness import DISPATCHES, TARGET, Running, damage_payloads, running
from zekt_dispatcher.delivery import Policy
from zekt_sandbox import GitHubSandbox

PAUSE_S = 6
"""For so long GitHub is asked for nothing; long enough for a busy machine to see it."""


async def test_a_requested_delivery_is_dispatched(dispatcher: Running) -> None:
    delivery = await dispatcher.ask()
    assert await dispatcher.until(delivery, "dispatched") == ["requested", "attempted", "dispatched"]
    (received,) = dispatcher.sandbox.dispatches()
    sent = json.loads(received.body)
    assert received.repository == TARGET
    assert sent["event_type"] == "deployment"
    assert sent["client_payload"]["zekt"]["deliveryId"] == delivery
    assert sent["client_payload"]["customPayload"] == {"a": "b"}


async def test_every_event_is_traced_to_the_request(dispatcher: Running) -> None:
    delivery = await dispatcher.ask()
    await dispatcher.until(delivery, "dispatched")
    requested, attempted, dispatched = await dispatcher.events(delivery)
    stored = (requested, attempted, dispatched)
    assert {(event.subject, event.correlationid, event.accountid) for event in stored} == {
        ("100/4711", "100/4711", "10")
    }
    assert all(event.traceparent and event.traceparent[3:35] == "a" * 32 for event in stored)
    assert requested.causationid.startswith("run/100/4711/")
    assert dispatched.causationid == attempted.id
    assert requested.commitid == attempted.commitid, "the attempt is stored with the request"


async def test_repeats_of_a_request_dispatch_once(dispatcher: Running) -> None:
    request = dispatcher.requested()
    for copy in ("", "~a", "~b", "~c", "~d"):
        await dispatcher.publish(request, copy=copy)
    await dispatcher.publish(last := dispatcher.requested())
    await dispatcher.until(last.delivery_id, "dispatched")
    await dispatcher.until(request.delivery_id, "dispatched")
    await dispatcher.publish(request, copy="~later")
    await dispatcher.until(await dispatcher.ask(), "dispatched")
    assert len(await dispatcher.events(request.delivery_id)) == 3
    assert len(dispatcher.sandbox.dispatches()) == 3


async def test_a_server_error_is_retried_until_it_passes(dispatcher: Running) -> None:
    dispatcher.sandbox.add_fault("error", path=DISPATCHES, count=2, status=503)
    delivery = await dispatcher.ask()
    kinds = await dispatcher.until(delivery, "dispatched")
    assert kinds == ["requested", *(["attempted", "attempt-ambiguous"] * 2), "attempted", "dispatched"]


@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
async def test_a_dropped_connection_is_recorded_as_ambiguous_and_tried_again(dispatcher: Running, fault: Any) -> None:
    dispatcher.sandbox.add_fault(fault, path=DISPATCHES)
    delivery = await dispatcher.ask()
    kinds = await dispatcher.until(delivery, "dispatched")
    assert kinds == ["requested", "attempted", "attempt-ambiguous", "attempted", "dispatched"]
    _, shown = await dispatcher.call("GET", f"/api/deliveries/{delivery}")
    assert [attempt["outcome"] for attempt in shown["attemptList"]] == ["ambiguous", "dispatched"]
    assert shown["ambiguousAttempts"] == 1


async def test_a_slow_answer_is_ambiguous_and_no_attempt_overlaps_the_next(
    sandbox: GitHubSandbox, tmp_path: Path
) -> None:
    sandbox.add_fault("slow", path=DISPATCHES, delay_s=6)
    async with running(sandbox, tmp_path, post_timeout_s=2) as dispatcher:
        kinds = await dispatcher.until(await dispatcher.ask(), "dispatched")
    assert kinds == ["requested", "attempted", "attempt-ambiguous", "attempted", "dispatched"]


async def test_a_revoked_token_is_replaced(dispatcher: Running) -> None:
    await dispatcher.until(await dispatcher.ask(), "dispatched")
    dispatcher.sandbox.revoke_tokens()
    delivery = await dispatcher.ask()
    kinds = await dispatcher.until(delivery, "dispatched")
    assert kinds == ["requested", "attempted", "attempt-failed", "attempted", "dispatched"]


@pytest.mark.parametrize(
    ("changes", "category"),
    [
        ({"installation_id": 999}, "auth"),
        ({"target_repository_id": 999}, "auth"),
        ({"event_type": "x" * 101}, "invalid"),
    ],
)
async def test_what_can_never_arrive_is_dead_lettered_at_once(
    dispatcher: Running, changes: dict[str, Any], category: str
) -> None:
    delivery = await dispatcher.ask(**changes)
    kinds = await dispatcher.until(delivery, "dead-lettered")
    assert kinds.count("attempted") <= 1
    last = json.loads(bytes((await dispatcher.events(delivery))[-1].data))
    assert last["category"] == category
    status, page = await dispatcher.call("GET", f"/api/deliveries/{delivery}")
    assert (status, page["status"]) == (200, "dead-lettered")


async def test_a_limited_installation_pauses_and_holds_up_no_other(dispatcher: Running) -> None:
    dispatcher.sandbox.add_fault("secondary", path=f"/repos/{TARGET}/dispatches", retry_after_s=PAUSE_S)
    first = await dispatcher.ask()
    await dispatcher.until(first, "attempt-failed")
    paused = [await dispatcher.ask() for _ in range(10)]
    other = await dispatcher.ask(target_repository="gamma/consumer", target_repository_id=300, installation_id=66)
    await dispatcher.until(other, "dispatched")
    assert [dispatch.repository for dispatch in dispatcher.sandbox.dispatches()] == [TARGET, "gamma/consumer"]
    for delivery in paused:
        kinds = await dispatcher.until(delivery, "dispatched")
        assert kinds[:2] == ["requested", "postponed"]
        assert "attempt-failed" not in kinds


async def test_without_identity_deliveries_wait_and_none_is_lost(sandbox: GitHubSandbox, tmp_path: Path) -> None:
    async with running(sandbox, tmp_path, identity_url="http://127.0.0.1:1") as dispatcher:
        delivery = await dispatcher.ask()
        assert await dispatcher.until(delivery, "postponed") == ["requested", "postponed"]
    async with running(sandbox, tmp_path) as dispatcher:
        assert "dispatched" in await dispatcher.until(delivery, "dispatched")


async def test_an_old_event_expires_unless_it_is_sent_again_on_purpose(dispatcher: Running) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=49)
    old, again = dispatcher.requested(), dispatcher.requested(is_replay=True)
    await dispatcher.publish(old, again, at=long_ago)
    assert await dispatcher.until(old.delivery_id, "expired") == ["requested", "expired"]
    await dispatcher.until(again.delivery_id, "dispatched")
    assert len(dispatcher.sandbox.dispatches()) == 1


async def test_the_last_attempt_ends_in_a_dead_letter(sandbox: GitHubSandbox, tmp_path: Path) -> None:
    sandbox.add_fault("error", path=DISPATCHES, count=None)
    async with running(sandbox, tmp_path, policy=Policy(max_attempts=2)) as dispatcher:
        delivery = await dispatcher.ask()
        kinds = await dispatcher.until(delivery, "dead-lettered")
    assert kinds.count("attempted") == 2


async def test_a_stored_payload_that_fits_is_sent_inline(dispatcher: Running) -> None:
    content = json.dumps({"text": "x" * 40_000}).encode()
    reference = await dispatcher.backend.payloads.put(10, content)
    await dispatcher.until(
        await dispatcher.ask(payload=None, payload_ref=reference, size_bytes=len(content)), "dispatched"
    )
    (received,) = dispatcher.sandbox.dispatches()
    assert json.loads(received.body)["client_payload"]["zekt"]["payload"] == json.loads(content)


async def test_an_expired_payload_is_a_dead_letter(dispatcher: Running) -> None:
    reference = await dispatcher.backend.payloads.put(10, b'"x"')
    gone = msgspec.structs.replace(reference, sha256="0" * 64)
    await dispatcher.until(await dispatcher.ask(payload=None, payload_ref=gone, size_bytes=3), "dead-lettered")


async def test_a_damaged_payload_is_a_dead_letter_and_nothing_is_sent(dispatcher: Running) -> None:
    content = json.dumps({"text": "x" * 40_000}).encode()
    reference = await dispatcher.backend.payloads.put(10, content)
    damage_payloads(dispatcher.data_dir)
    delivery = await dispatcher.ask(payload=None, payload_ref=reference, size_bytes=len(content))
    assert await dispatcher.until(delivery, "dead-lettered") == ["requested", "dead-lettered"]
    assert json.loads(bytes((await dispatcher.events(delivery))[-1].data))["category"] == "gone"
    assert dispatcher.sandbox.dispatches() == []


async def test_a_finished_delivery_leaves_no_timer_behind(dispatcher: Running) -> None:
    dispatcher.sandbox.add_fault("error", path=DISPATCHES, count=1)
    delivery = await dispatcher.ask()
    await dispatcher.until(delivery, "dispatched")
    await dispatcher.projected()
    assert await dispatcher.backend.views.listing("due") == []
